"""What a run trains on and is tested on: CIFAR in any layout, or a folder of images."""

from collections.abc import Callable
from pathlib import Path

from training.download import download_cifar, is_keras_own
from vitsd_export.data.cifar import keras_cache, load_cifar
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.detection import find_original
from vitsd_export.data.folder_split import load_folder_split
from vitsd_export.data.originals import CIFAR_NAMES, CifarName, Split
from vitsd_export.data.sources import resize_dataset
from vitsd_export.errors import InputError, UsageError

INPUT_SIZE = 32
"""Height and width of the images that all presets take, in pixels."""
_FOLDER = "folder:"
# Of a folder without splits of its own.
_HELD_OUT = 0.1


def dataset_name(data: str) -> str:
    """Returns the short name of a data set, for files: `cifar10`, or the folder's own name.

    Args:
        data: `cifar10`, `cifar100` or `folder:PATH`.

    Raises:
        UsageError: If it is none of these.
    """
    if data in CIFAR_NAMES:
        return data
    if not data.startswith(_FOLDER) or data == _FOLDER:
        raise UsageError(f"--data must be cifar10, cifar100 or folder:PATH, not {data!r}.")
    return Path(data.removeprefix(_FOLDER)).resolve().name


def load_split(
    data: str,
    data_dir: Path | None,
    split: Split,
    *,
    size: int,
    seed: int,
    tell: Callable[[str], None],
) -> ImageDataset:
    """Loads the training or the test images of a data set, with labels.

    CIFAR is downloaded if no folder is given and Keras's cache does not hold it whole.

    Args:
        data: `cifar10`, `cifar100`, or `folder:PATH` with a subfolder of images for each class.
        data_dir: Where CIFAR lies; None for Keras's cache.
        split: `train` or `test`.
        size: Height and width that the images are brought to, in pixels.
        seed: Decides which tenth of a folder without splits of its own is held out for the test.
        tell: Called before a download starts, and with the images that cannot be read and are left out.

    Raises:
        UsageError: If there is no such data set, or a data folder is given beside `folder:PATH`.
        InputError: If the images cannot be read, or cannot train a classifier.
        EnvironmentProblem: If CIFAR cannot be downloaded.
    """
    dataset_name(data)
    for name in CIFAR_NAMES:
        if data == name:
            return resize_dataset(_load_cifar(name, split, data_dir, tell), size)
    if data_dir is not None:
        raise UsageError(
            "--data-dir is for cifar10 and cifar100; folder:PATH names its own folder."
        )
    return load_folder_split(
        Path(data.removeprefix(_FOLDER)),
        split,
        size,
        validation_fraction=_HELD_OUT,
        seed=seed,
        on_skipped=tell,
    )


def _load_cifar(
    name: CifarName, split: Split, data_dir: Path | None, tell: Callable[[str], None]
) -> ImageDataset:
    if data_dir is not None:
        return load_cifar(name, split, data_dir)
    try:
        found = find_original(keras_cache(), name)
    except InputError:
        # An archive whose download was broken off: Keras compares its digest.
        found = None
    if found is not None:
        try:
            return load_cifar(name, split, None)
        except InputError:
            # Keras was killed while it unpacked. What a user put there is not for us to replace.
            if not is_keras_own(found.container.path, name):
                raise
    download_cifar(name, tell)
    return load_cifar(name, split, None)
