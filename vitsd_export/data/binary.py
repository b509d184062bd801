"""CIFAR's binary version: rows of one or two label bytes and 3072 pixel bytes.

Specified at https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import numpy as np

from vitsd_export.data.containers import Container
from vitsd_export.data.labels import CIFAR10_CLASSES, CIFAR100_COARSE_CLASSES, CIFAR100_FINE_CLASSES
from vitsd_export.data.originals import CifarName, Original, Split
from vitsd_export.data.planes import NUM_PIXELS, images_from_planes
from vitsd_export.errors import InputError

# The class names of each label byte of a row, and the file that lists them.
_LABELS = {
    "cifar10": ((CIFAR10_CLASSES, "batches.meta.txt"),),
    "cifar100": (
        (CIFAR100_COARSE_CLASSES, "coarse_label_names.txt"),
        (CIFAR100_FINE_CLASSES, "fine_label_names.txt"),
    ),
}


def read_binary(
    container: Container, original: Original, split: Split, *, coarse: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Reads a split from the binary version.

    Args:
        container: What holds the files.
        original: Which version of which data set they are.
        split: `train` or `test`.
        coarse: Whether to read CIFAR-100's 20 coarse labels.

    Returns:
        images: [N, 32, 32, 3] uint8.
        labels: [N] int64.

    Raises:
        InputError: If a file is missing, damaged, or of another data set.
    """
    classes_by_file = {file: classes for classes, file in _LABELS[original.name]}
    parts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, data in container.contents(original.files(split), tuple(classes_by_file)):
        where = container.where(name)
        if name in classes_by_file:
            _check_class_names(data, classes_by_file[name], where, original.name)
        else:
            parts[name] = parse_rows(data, where, original.name, coarse=coarse)
    images, labels = zip(*(parts[name] for name in original.files(split)), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def parse_rows(
    data: bytes, where: str, name: CifarName, *, coarse: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images and labels of one file.

    Args:
        data: The file's bytes: 3073 an image of CIFAR-10, 3074 an image of CIFAR-100, whose coarse
            label comes first and whose fine label second.
        where: The file, for the message.
        name: `cifar10` or `cifar100`.
        coarse: Whether to return the coarse labels.

    Returns:
        images: [N, 32, 32, 3] uint8.
        labels: [N] int64.

    Raises:
        InputError: If the bytes are not whole rows, or a label is out of range.
    """
    label_bytes = _LABELS[name]
    row_bytes = len(label_bytes) + NUM_PIXELS
    if not data or len(data) % row_bytes:
        raise InputError(
            f"{where} has {len(data)} bytes, which are not rows of {row_bytes}, the size of an "
            f"image of {name} with its label. The file is truncated or of another data set: "
            "download it again."
        )
    rows = np.frombuffer(data, np.uint8).reshape(-1, row_bytes)
    for column, (classes, _) in enumerate(label_bytes):
        wrong = np.flatnonzero(rows[:, column] >= len(classes))
        if len(wrong):
            raise InputError(
                f"{where} has a label {rows[wrong[0], column]} in row {wrong[0]}, but {name} has "
                f"the labels 0 to {len(classes) - 1} there. The file is damaged or of another data "
                "set: download it again."
            )
    labels = rows[:, 0 if coarse else len(label_bytes) - 1].astype(np.int64)
    return images_from_planes(rows[:, len(label_bytes) :]), labels


def _check_class_names(data: bytes, classes: tuple[str, ...], where: str, name: CifarName) -> None:
    """Raises InputError if a file lists other classes: people keep data of their own like this."""
    lines = (line.strip() for line in data.decode("latin-1").splitlines())
    listed = [line for line in lines if line]
    if listed == list(classes):
        return
    pairs = zip(listed, classes, strict=False)
    first = next(
        (f"{own!r} in place of {official!r}" for own, official in pairs if own != official),
        f"{len(listed)} in place of {len(classes)}",
    )
    raise InputError(
        f"{where} lists other classes than {name} has ({first}): this is another data set in "
        "CIFAR's format. Give it as a folder of images, with a subfolder for each class."
    )
