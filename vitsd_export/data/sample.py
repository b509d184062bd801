"""The sample of CIFAR-10 that comes with the package: original, lossless pixels."""

import functools
from importlib import resources
from typing import Literal

from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.labels import CIFAR10_CLASSES
from vitsd_export.errors import UsageError

SAMPLE_FOLDER = "cifar10_sample"
SAMPLE_SOURCE = "bundled CIFAR-10 sample"
_SPLITS = {"calibration": "train", "verification": "test"}


def sample_file(split: str) -> str:
    """Returns the name of the parquet file of a split, as the Hugging Face hub names it."""
    return f"{split}-00000-of-00001.parquet"


def load_sample(part: Literal["calibration", "verification"]) -> ImageDataset:
    """Loads a part of the bundled sample of CIFAR-10.

    Args:
        part: `calibration`: 512 training images, balanced over the classes and the training
            batches, ordered so that every prefix is balanced too. `verification`: the first 500
            test images.

    Returns:
        Images [N, 32, 32, 3] with labels; the arrays are read-only, because they are shared.

    Raises:
        UsageError: If there is no such part.
    """
    if part not in _SPLITS:
        raise UsageError(f"The bundled sample has the parts {', '.join(_SPLITS)}, not {part!r}.")
    return _read(part)


@functools.cache
def _read(part: str) -> ImageDataset:
    from vitsd_export.data.parquet import read_shards

    split = _SPLITS[part]
    bundled = resources.files("vitsd_export.data") / SAMPLE_FOLDER / sample_file(split)
    with resources.as_file(bundled) as path:
        images, labels = read_shards([path], "cifar10", len(CIFAR10_CLASSES))
    images.flags.writeable = labels.flags.writeable = False
    source = f"{SAMPLE_SOURCE} ({part})"
    return ImageDataset(images, labels, CIFAR10_CLASSES, "cifar10", split, source)
