"""CIFAR-10 and CIFAR-100 from a folder or a tarball, in whichever layout it holds them."""

import os
from pathlib import Path

from vitsd_export.data import binary, pickles
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.detection import detect_cifar, find_original
from vitsd_export.data.folders import require_folder
from vitsd_export.data.labels import CIFAR10_CLASSES, CIFAR100_COARSE_CLASSES, CIFAR100_FINE_CLASSES
from vitsd_export.data.originals import CIFAR_NAMES, CifarName, Split
from vitsd_export.data.shards import check_complete, find_shards
from vitsd_export.data.tarball import is_tarball
from vitsd_export.errors import InputError, UsageError

__all__ = ["CIFAR_NAMES", "CifarName", "Split", "detect_cifar", "load_cifar"]

_LAYOUTS = (
    "the Python pickles (cifar-10-batches-py, cifar-100-python), the binary version "
    "(cifar-10-batches-bin, cifar-100-binary), the tarballs of both (cifar-10-python.tar.gz, …), "
    "a torchvision root or the Keras cache, which hold these, and the Hugging Face parquet files "
    "(train-*.parquet, test-*.parquet)"
)


def load_cifar(
    name: CifarName, split: Split, data_dir: Path | str | None, *, coarse: bool = False
) -> ImageDataset:
    """Loads a split of CIFAR (Krizhevsky, 2009) from disk; nothing is downloaded or extracted.

    Args:
        name: Which data set.
        split: Which part of it.
        data_dir: Where it is, in one of the layouts that people hold: the Python pickles or the
            binary version (their folder or its parent, such as a torchvision root), the tarball of
            either (the file itself or a folder that holds it), Hugging Face parquet files, or a
            Keras cache; None looks in Keras's own cache. Where a folder holds several, what is
            listed first is read.
        coarse: Label with CIFAR-100's 20 superclasses in place of its 100 classes.

    Returns:
        Images [N, 32, 32, 3] with labels; N is less than the official number where the files hold
        less.

    Raises:
        UsageError: If the name or the split is unknown, or `coarse` is asked of CIFAR-10.
        InputError: If there is nothing at the path or it is in none of these layouts, or a file is
            missing, damaged, unsafe or of another data set.
    """
    if name not in CIFAR_NAMES:
        raise UsageError(f"There is no CIFAR data set {name!r}: {' or '.join(CIFAR_NAMES)}.")
    if split not in ("train", "test"):
        raise UsageError(f"CIFAR has the splits train and test, not {split!r}.")
    if coarse and name == "cifar10":
        raise UsageError("CIFAR-10 has no coarse labels. Ask for cifar100.")
    classes = CIFAR10_CLASSES if name == "cifar10" else CIFAR100_FINE_CLASSES
    if coarse:
        classes = CIFAR100_COARSE_CLASSES
    path = _require_cached(name) if data_dir is None else _require(data_dir)

    found = find_original(path, name)
    if found is not None:
        original, container = found.original, found.container
        source = container.source()
        if original.version == "binary":
            images, labels = binary.read_binary(container, original, split, coarse=coarse)
        else:
            images, labels = pickles.read_pickles(
                container, original, split, len(classes), coarse=coarse
            )
    else:
        from vitsd_export.data import parquet

        shards, source = _require_shards(path, name, split), str(path)
        images, labels = parquet.read_shards(shards, name, len(classes), coarse=coarse)
    return ImageDataset(images, labels, classes, name, split, source)


def _require(data_dir: Path | str) -> Path:
    """Returns the path of the tarball or folder a user names, `~` expanded."""
    if is_tarball(data_dir):
        return Path(data_dir).expanduser()
    if os.path.isfile(os.path.expanduser(data_dir)):
        raise InputError(
            f"{data_dir} is a file, but no tarball. CIFAR is read from a folder, or from its "
            "tarball, such as cifar-10-python.tar.gz; if this should be one, download it again."
        )
    return require_folder(data_dir, "CIFAR")


def _require_shards(folder: Path, name: str, split: str) -> list[Path]:
    """Returns a split's parquet files."""
    names = detect_cifar(folder)
    if not names:
        raise InputError(f"{folder} does not hold CIFAR. {_advice(name)}")
    if name not in names:
        raise InputError(f"{folder} holds {names[0]}, but {name} was asked for. {_advice(name)}")
    shards = find_shards(folder, split)
    if not shards:
        raise InputError(f"{folder} has no {split}-*.parquet. Copy the {split} split into it.")
    check_complete(shards)
    return shards


def _require_cached(name: CifarName) -> Path:
    folder = keras_cache()
    if find_original(folder, name) is None:
        raise InputError(
            f"The Keras cache {folder} does not hold {name}, and no data folder was given. "
            + _advice(name)
        )
    return folder


def keras_cache() -> Path:
    """Returns the folder where Keras keeps data sets, there or not."""
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    return Path(os.path.expanduser(home)) / "datasets"


def _advice(name: str) -> str:
    return (
        f'{describe_layouts()} With a network, `python -c "import keras; '
        f'keras.datasets.{name}.load_data()"` fetches it into the Keras cache.'
    )


def describe_layouts() -> str:
    """Returns a sentence on what `load_cifar` reads."""
    return f"These are read: {_LAYOUTS}."
