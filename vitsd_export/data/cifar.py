"""CIFAR-10 and CIFAR-100 from a folder, in whichever layout it holds them."""

import os
from pathlib import Path
from typing import Literal

from vitsd_export.data import pickles
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.folders import require_folder
from vitsd_export.data.labels import CIFAR10_CLASSES, CIFAR100_COARSE_CLASSES, CIFAR100_FINE_CLASSES
from vitsd_export.data.shards import check_complete, find_shards
from vitsd_export.errors import InputError, UsageError

CifarName = Literal["cifar10", "cifar100"]
Split = Literal["train", "test"]
CIFAR_NAMES: tuple[CifarName, ...] = ("cifar10", "cifar100")

_LAYOUTS = (
    "the Hugging Face parquet files (train-*.parquet, test-*.parquet), the Python pickles "
    "(cifar-10-batches-py, cifar-100-python) and the Keras cache"
)


def load_cifar(
    name: CifarName, split: Split, data_dir: Path | str | None, *, coarse: bool = False
) -> ImageDataset:
    """Loads a split of CIFAR (Krizhevsky, 2009) from a folder; nothing is downloaded.

    Args:
        name: Which data set.
        split: Which part of it.
        data_dir: A folder in one of the layouts that people hold: Hugging Face parquet files,
            Python pickles (their folder or its parent), or a Keras cache; None looks in Keras's own
            cache.
        coarse: Label with CIFAR-100's 20 superclasses in place of its 100 classes.

    Returns:
        Images [N, 32, 32, 3] with labels; N is less than the official number where the folder holds
        less.

    Raises:
        UsageError: If the name or the split is unknown, or `coarse` is asked of CIFAR-10.
        InputError: If the folder is missing or in none of these layouts, or a file in it is
            damaged, unsafe or of another data set.
    """
    if name not in CIFAR_NAMES:
        raise UsageError(f"There is no CIFAR data set {name!r}: {' or '.join(CIFAR_NAMES)}.")
    if split not in ("train", "test"):
        raise UsageError(f"CIFAR has the splits train and test, not {split!r}.")
    if coarse and name == "cifar10":
        raise UsageError("CIFAR-10 has no coarse labels. Ask for cifar100.")
    folder = _keras_cache(name) if data_dir is None else require_folder(data_dir, "CIFAR")
    names = detect_cifar(folder)
    if not names:
        raise InputError(f"{folder} does not hold CIFAR. {_advice(name)}")
    if name not in names:
        raise InputError(f"{folder} holds {names[0]}, but {name} was asked for. {_advice(name)}")

    classes = CIFAR10_CLASSES if name == "cifar10" else CIFAR100_FINE_CLASSES
    if coarse:
        classes = CIFAR100_COARSE_CLASSES
    source = pickles.find_folder(folder, name)
    if source is not None:
        images, labels = pickles.read_pickles(source, name, split, len(classes), coarse=coarse)
    else:
        from vitsd_export.data import parquet

        source = folder
        shards = find_shards(folder, split)
        if not shards:
            raise InputError(f"{folder} has no {split}-*.parquet. Copy the {split} split into it.")
        check_complete(shards)
        images, labels = parquet.read_shards(shards, name, len(classes), coarse=coarse)
    return ImageDataset(images, labels, classes, name, split, str(source))


def detect_cifar(folder: Path) -> tuple[CifarName, ...]:
    """Returns which of the data sets a folder holds in a layout that `load_cifar` reads.

    Raises:
        InputError: If the folder holds parquet files which are damaged or are not of CIFAR.
    """
    found: set[str] = {
        name for name in CIFAR_NAMES if pickles.find_folder(folder, name) is not None
    }
    shards = find_shards(folder, "train") or find_shards(folder, "test")
    if shards:
        from vitsd_export.data import parquet

        found.add(parquet.detect_name(shards))
    return tuple(name for name in CIFAR_NAMES if name in found)


def _keras_cache(name: str) -> Path:
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    folder = Path(os.path.expanduser(home)) / "datasets"
    if pickles.find_folder(folder, name) is None:
        raise InputError(
            f"The Keras cache {folder} does not hold {name}, and no data folder was given. "
            + _advice(name)
        )
    return folder


def _advice(name: str) -> str:
    return (
        f'These are read: {_LAYOUTS}. With a network, `python -c "import keras; '
        f'keras.datasets.{name}.load_data()"` fetches it into the Keras cache.'
    )
