"""What a run trains on and is tested on: CIFAR in any layout, or a folder of images."""

from collections.abc import Callable
from pathlib import Path

from vitsd_export.data.cifar import CIFAR_NAMES, load_cifar
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.folder_split import SkippedImages, load_folder_split
from vitsd_export.errors import UsageError

FOLDER = "folder:"
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
    if not data.startswith(FOLDER) or data == FOLDER:
        raise UsageError(f"--data must be cifar10, cifar100 or folder:PATH, not {data!r}.")
    return Path(data.removeprefix(FOLDER)).resolve().name


def load_datasets(
    data: str,
    data_dir: Path | None,
    *,
    size: int,
    seed: int,
    on_skipped: Callable[[SkippedImages], None],
) -> tuple[ImageDataset, ImageDataset]:
    """Loads the training and the test images of a data set.

    Args:
        data: `cifar10`, `cifar100`, or `folder:PATH` with a subfolder of images for each class.
        data_dir: Where CIFAR lies; None for Keras's cache.
        size: Height and width that a folder's images are brought to, in pixels.
        seed: Decides which tenth of a folder without splits of its own is held out for the test.
        on_skipped: Called for images that cannot be read and are left out.

    Raises:
        UsageError: If there is no such data set, or a data folder is given beside `folder:PATH`.
        InputError: If the images cannot be read, or cannot train a classifier.
    """
    dataset_name(data)
    for name in CIFAR_NAMES:
        if data == name:
            return load_cifar(name, "train", data_dir), load_cifar(name, "test", data_dir)
    if data_dir is not None:
        raise UsageError("--data-dir goes with cifar10 and cifar100; folder:PATH says it all.")
    folder = Path(data.removeprefix(FOLDER))
    train = load_folder_split(
        folder, "train", size, validation_fraction=_HELD_OUT, seed=seed, on_skipped=on_skipped
    )
    test = load_folder_split(
        folder, "test", size, validation_fraction=_HELD_OUT, seed=seed, on_skipped=on_skipped
    )
    return train, test
