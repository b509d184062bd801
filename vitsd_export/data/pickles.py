"""CIFAR's Python version: pickles of a dictionary with the pixels and the labels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vitsd_export.data.containers import Container, Folder
from vitsd_export.data.originals import Original, Split
from vitsd_export.data.planes import NUM_PIXELS, images_from_planes
from vitsd_export.data.safe_pickle import parse_pickle
from vitsd_export.errors import InputError


def read_pickles(
    container: Container, original: Original, split: Split, num_classes: int, *, coarse: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Reads a split from the Python version.

    Args:
        container: What holds the files.
        original: Which data set they are.
        split: `train` or `test`.
        num_classes: Number of classes of the labels asked for.
        coarse: Whether to read CIFAR-100's 20 coarse labels.

    Returns:
        images: [N, 32, 32, 3] uint8.
        labels: [N] int64.

    Raises:
        InputError: If a file is missing, damaged, unsafe, or of another data set.
    """
    key = "labels"
    if original.name == "cifar100":
        key = "coarse_labels" if coarse else "fine_labels"
    files = original.files(split)
    parts = {
        name: parse_batch(data, container.where(name), key, num_classes)
        for name, data in container.contents(files)
    }
    images, labels = zip(*(parts[name] for name in files), strict=True)
    return np.concatenate(images), np.concatenate(labels)


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
    ((_, data),) = Folder(path.parent).contents((path.name,))
    return parse_batch(data, str(path), key, num_classes)


def parse_batch(
    content: bytes, where: str, key: str, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Reads one pickle from its bytes.

    Args:
        content: The file's bytes.
        where: The file, for the message.
        key: `labels`, `fine_labels` or `coarse_labels`.
        num_classes: Number of classes of these labels.

    Returns:
        images: [N, 32, 32, 3] uint8.
        labels: [N] int64.

    Raises:
        InputError: If the file is damaged, unsafe, or of another data set.
    """
    batch = parse_pickle(content, where)
    if "data" not in batch or key not in batch:
        raise InputError(
            f"{where} has no {' and no '.join(_missing(batch, key))}, only "
            f"{', '.join(batch) or 'nothing'}. It is of another data set: CIFAR-10 has `labels`, "
            "CIFAR-100 `fine_labels` and `coarse_labels`."
        )
    data = batch["data"]
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or data.ndim != 2
        or data.shape[1] != NUM_PIXELS
        or not len(data)
    ):
        raise InputError(f"{where} does not hold rows of {NUM_PIXELS} uint8 pixels.")
    images = images_from_planes(data)
    return images, _labels(batch[key], len(images), num_classes, where)


def _missing(batch: dict[str, object], key: str) -> Iterator[str]:
    return (f"`{wanted}`" for wanted in ("data", key) if wanted not in batch)


def _labels(values: object, count: int, num_classes: int, where: str) -> np.ndarray:
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        values = values.tolist()
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(isinstance(value, int) and 0 <= value < num_classes for value in values)
    ):
        raise InputError(
            f"{where} does not hold {count} labels between 0 and {num_classes - 1}, "
            "one for each image."
        )
    return np.array(values, np.int64)
