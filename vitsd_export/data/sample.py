"""The samples of CIFAR-10 and CIFAR-100 that come with the package: original, lossless pixels."""

import functools
from collections.abc import Sequence
from importlib import resources
from typing import Literal

from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.originals import CIFAR_NAMES, CLASSES, CifarName

SAMPLE = "sample"
# What results and manifests call them.
SAMPLE_TITLES: dict[CifarName, str] = {
    "cifar10": "bundled CIFAR-10 sample",
    "cifar100": "bundled CIFAR-100 sample",
}
# What `load_images` calls them.
SAMPLE_SOURCES: dict[str, CifarName] = {f"{name}-{SAMPLE}": name for name in CIFAR_NAMES}
_SPLITS = {"calibration": "train", "verification": "test"}


def choose_images(source: str, class_names: Sequence[str]) -> str:
    """Returns where a model's images come from: `source` itself, or what `sample` means for it.

    That is the bundled sample of the model's classes. A model of other classes gets CIFAR-100's, whose
    images are the more varied; their labels then say nothing of it.
    """
    if source != SAMPLE:
        return source
    fitting = [name for name in CIFAR_NAMES if CLASSES[name] == tuple(class_names)]
    return f"{fitting[0] if fitting else 'cifar100'}-{SAMPLE}"


def sample_file(split: str) -> str:
    """Returns the name of the parquet file of a split, as the Hugging Face hub names it."""
    return f"{split}-00000-of-00001.parquet"


@functools.cache
def load_sample(
    part: Literal["calibration", "verification"], name: CifarName = "cifar10"
) -> ImageDataset:
    """Loads a part of a bundled sample.

    Args:
        part: `calibration`: 512 training images of CIFAR-10, 1,000 of CIFAR-100, balanced over the
            classes in every prefix. `verification`: 500 test images, CIFAR-10's first ones, and
            5 of each class of CIFAR-100.
        name: Of which data set.

    Returns:
        Images [N, 32, 32, 3] with labels, of CIFAR-100 the fine ones; the arrays are read-only, because
        they are shared.
    """
    from vitsd_export.data.parquet import read_shards

    split, classes = _SPLITS[part], CLASSES[name]
    bundled = resources.files("vitsd_export.data") / f"{name}_sample" / sample_file(split)
    with resources.as_file(bundled) as path:
        images, labels = read_shards([path], name, len(classes))
    images.flags.writeable = labels.flags.writeable = False
    return ImageDataset(images, labels, classes, name, split, f"{SAMPLE_TITLES[name]} ({part})")
