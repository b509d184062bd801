"""CIFAR as its author distributes it, in Python pickles, and Keras's cache of them."""

from collections.abc import Iterator
from os.path import isfile
from pathlib import Path

import numpy as np

from vitsd_export.data.safe_pickle import read_pickle
from vitsd_export.errors import InputError

TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
_FOLDER_NAMES = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
_SIZE = 32


def find_folder(folder: Path, name: str) -> Path | None:
    """Returns where a data set's pickles lie: in `folder`, or below it by one of their usual names.

    Args:
        folder: The data set's folder, its parent, or Keras's folder.
        name: `cifar10` or `cifar100`.
    """
    own = _FOLDER_NAMES[name]
    for parent in (folder, folder / "datasets"):
        for candidate in (parent, parent / own, parent / f"{own}-target" / own, parent / own / own):
            if _holds(candidate, name):
                return candidate
    return None


def _holds(folder: Path, name: str) -> bool:
    if name == "cifar10":
        return any(isfile(folder / file) for file in (*TRAIN_BATCHES, TEST_BATCH))
    # Anything may be called `train` or `test`; `meta` or the folder's name tells CIFAR-100.
    is_named = folder.name == _FOLDER_NAMES[name] or isfile(folder / "meta")
    return is_named and any(isfile(folder / file) for file in ("train", "test"))


def read_pickles(
    folder: Path, name: str, split: str, num_classes: int, *, coarse: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Reads a split from the pickles in `folder`.

    Args:
        folder: Where `find_folder` found them.
        name: `cifar10` or `cifar100`.
        split: `train` or `test`.
        num_classes: Number of classes of the labels asked for.
        coarse: Whether to read CIFAR-100's 20 coarse labels.

    Returns:
        images: [N, 32, 32, 3] uint8.
        labels: [N] int64.

    Raises:
        InputError: If a file is missing, damaged, unsafe, or of another data set.
    """
    if name == "cifar10":
        files, key = (TRAIN_BATCHES if split == "train" else (TEST_BATCH,)), "labels"
    else:
        files, key = (split,), "coarse_labels" if coarse else "fine_labels"
    parts = [read_batch(folder / file, key, num_classes) for file in files]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def read_batch(path: Path, key: str, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads one pickle.

    Args:
        path: The file.
        key: `labels`, `fine_labels` or `coarse_labels`.
        num_classes: Number of classes of these labels.

    Returns:
        images: [N, 32, 32, 3] uint8.
        labels: [N] int64.

    Raises:
        InputError: If the file is missing, damaged, unsafe, or of another data set.
    """
    if not isfile(path):
        raise InputError(f"{path} is missing: the data set is incomplete. Extract it again.")
    batch = read_pickle(path)
    if "data" not in batch or key not in batch:
        raise InputError(
            f"{path} has no {' and no '.join(_missing(batch, key))}, only "
            f"{', '.join(batch) or 'nothing'}. It is of another data set: CIFAR-10 has `labels`, "
            "CIFAR-100 `fine_labels` and `coarse_labels`."
        )
    data = batch["data"]
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or data.ndim != 2
        or data.shape[1] != 3 * _SIZE * _SIZE
        or not len(data)
    ):
        raise InputError(f"{path} does not hold rows of {3 * _SIZE * _SIZE} uint8 pixels.")
    # A row holds the red plane, then the green, then the blue.
    images = np.ascontiguousarray(data.reshape(-1, 3, _SIZE, _SIZE).transpose(0, 2, 3, 1))
    return images, _labels(batch[key], len(images), num_classes, path)


def _missing(batch: dict[str, object], key: str) -> Iterator[str]:
    return (f"`{wanted}`" for wanted in ("data", key) if wanted not in batch)


def _labels(values: object, count: int, num_classes: int, path: Path) -> np.ndarray:
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        values = values.tolist()
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(isinstance(value, int) and 0 <= value < num_classes for value in values)
    ):
        raise InputError(
            f"{path} does not hold {count} labels between 0 and {num_classes - 1}, "
            "one for each image."
        )
    return np.array(values, np.int64)
