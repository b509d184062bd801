"""CIFAR-10 and CIFAR-100 from a folder or a tarball, in whichever layout it holds them."""

import os
from pathlib import Path

from vitsd_export.data.containers import require_folder
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.detection import check_complete, detect_cifar, find_original, find_shards
from vitsd_export.data.original_reader import read_original
from vitsd_export.data.originals import CLASSES, CifarName, Split
from vitsd_export.data.tarball import is_tarball
from vitsd_export.errors import InputError

CIFAR_LAYOUTS = (
    "These are read: the Python pickles (cifar-10-batches-py, cifar-100-python), the binary version "
    "(cifar-10-batches-bin, cifar-100-binary), the tarballs of both (cifar-10-python.tar.gz, …), "
    "a torchvision root or the Keras cache, which hold these, and the Hugging Face parquet files "
    "(train-*.parquet, test-*.parquet)."
)


def load_cifar(name: CifarName, split: Split, data_dir: Path | str | None) -> ImageDataset:
    """Loads a split of CIFAR (Krizhevsky, 2009) from disk; nothing is downloaded or extracted.

    Args:
        name: Which data set.
        split: Which part of it.
        data_dir: Where it is: the folder of the Python pickles or of the binary version or its parent (such
            as a torchvision root), the tarball of either or a folder that holds it, Hugging Face parquet
            files, or a Keras cache; None for Keras's own cache. Of several layouts in a folder, the one
            listed first is read.

    Returns:
        Images [N, 32, 32, 3] with labels; N is less than the official number where the files hold less.

    Raises:
        InputError: If there is nothing at the path or it is in none of these layouts, or a file is
            missing, damaged, unsafe or of another data set.
    """
    path = keras_cache() if data_dir is None else _require(data_dir)
    found = find_original(path, name)
    if found is not None:
        source = found.container.path
        images, labels = read_original(found.container, found.original, split)
    elif data_dir is None:
        raise InputError(
            f"The Keras cache {path} does not hold {name}, and no data folder was given. "
            + _advice(name)
        )
    else:
        from vitsd_export.data.parquet import read_shards

        source = path
        images, labels = read_shards(_require_shards(path, name, split), name, len(CLASSES[name]))
    return ImageDataset(images, labels, CLASSES[name], name, split, str(source))


def _require(data_dir: Path | str) -> Path:
    """Returns the path of the tarball or folder a user names, `~` expanded."""
    if is_tarball(data_dir):
        return Path(data_dir).expanduser()
    if os.path.isfile(os.path.expanduser(data_dir)):
        raise InputError(
            f"{data_dir} is a file, but not a tarball. CIFAR is read from a folder, or from its "
            "tarball, such as cifar-10-python.tar.gz; if this should be one, download it again."
        )
    return require_folder(data_dir, "CIFAR")


def _require_shards(folder: Path, name: CifarName, split: Split) -> list[Path]:
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


def keras_cache() -> Path:
    """Returns the folder where Keras keeps data sets, there or not."""
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    return Path(os.path.expanduser(home)) / "datasets"


def _advice(name: str) -> str:
    return (
        f'{CIFAR_LAYOUTS} With a network, `python -c "import keras; '
        f'keras.datasets.{name}.load_data()"` fetches it into the Keras cache.'
    )
