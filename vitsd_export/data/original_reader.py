"""Reads CIFAR's original files: pickles in the Python version, rows of bytes in the binary version.

Both are specified at https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import numpy as np

from vitsd_export.data.containers import Container
from vitsd_export.data.labels import CIFAR100_COARSE_CLASSES
from vitsd_export.data.originals import CLASSES, CifarName, Original, Split
from vitsd_export.data.safe_pickle import parse_pickle
from vitsd_export.errors import InputError

_SIZE = 32
_NUM_PIXELS = 3 * _SIZE * _SIZE
# Key of the labels in a pickle.
_KEYS: dict[CifarName, str] = {"cifar10": "labels", "cifar100": "fine_labels"}
# Class names of each label byte of a binary row, and the file that lists them. The last byte is read.
_LABEL_BYTES: dict[CifarName, tuple[tuple[tuple[str, ...], str], ...]] = {
    "cifar10": ((CLASSES["cifar10"], "batches.meta.txt"),),
    "cifar100": (
        (CIFAR100_COARSE_CLASSES, "coarse_label_names.txt"),
        (CLASSES["cifar100"], "fine_label_names.txt"),
    ),
}


def read_original(
    container: Container, original: Original, split: Split
) -> tuple[np.ndarray, np.ndarray]:
    """Reads a split: images [N, 32, 32, 3] uint8 and labels [N] int64, CIFAR-100's fine ones.

    Raises:
        InputError: If a file is missing, damaged, unsafe, or of another data set.
    """
    files, name = original.files(split), original.name
    is_binary = original.version == "binary"
    listed = {file: classes for classes, file in _LABEL_BYTES[name]} if is_binary else {}
    parse = parse_rows if is_binary else parse_batch
    parts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for file, data in container.contents(files, tuple(listed)):
        where = container.where(file)
        if file in listed:
            _check_class_names(data, listed[file], where, name)
        else:
            parts[file] = parse(data, where, name)
    images, labels = zip(*(parts[file] for file in files), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def parse_rows(data: bytes, where: str, name: CifarName) -> tuple[np.ndarray, np.ndarray]:
    """Parses a file of the binary version.

    Args:
        data: 3073 bytes an image of CIFAR-10, 3074 an image of CIFAR-100, whose coarse label comes first.
        where: The file, for the message.
        name: Which data set.

    Raises:
        InputError: If the bytes are not whole rows, or a label is out of range.
    """
    label_bytes = _LABEL_BYTES[name]
    row_bytes = len(label_bytes) + _NUM_PIXELS
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
    labels = rows[:, len(label_bytes) - 1].astype(np.int64)
    return _images(rows[:, len(label_bytes) :]), labels


def parse_batch(data: bytes, where: str, name: CifarName) -> tuple[np.ndarray, np.ndarray]:
    """Parses a pickle of the Python version, without letting it run anything.

    Raises:
        InputError: If it is damaged, unsafe, or of another data set.
    """
    batch, key = parse_pickle(data, where), _KEYS[name]
    missing = [f"`{wanted}`" for wanted in ("data", key) if wanted not in batch]
    if missing:
        raise InputError(
            f"{where} has no {' and no '.join(missing)}, only {', '.join(batch) or 'nothing'}. It is of "
            "another data set: CIFAR-10 has `labels`, CIFAR-100 `fine_labels` and `coarse_labels`."
        )
    rows, labels, count = batch["data"], batch[key], len(CLASSES[name])
    if (
        not isinstance(rows, np.ndarray)
        or rows.dtype != np.uint8
        or rows.shape[1:] != (_NUM_PIXELS,)
        or not len(rows)
    ):
        raise InputError(f"{where} does not hold rows of {_NUM_PIXELS} uint8 pixels.")
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        labels = labels.tolist()
    if (
        not isinstance(labels, list)
        or len(labels) != len(rows)
        or not all(isinstance(label, int) and 0 <= label < count for label in labels)
    ):
        raise InputError(
            f"{where} does not hold {len(rows)} labels between 0 and {count - 1}, one for each image."
        )
    return _images(rows), np.array(labels, np.int64)


def _images(rows: np.ndarray) -> np.ndarray:
    """Returns images [N, 32, 32, 3] of rows [N, 3072] of the red, the green and the blue plane."""
    return np.ascontiguousarray(rows.reshape(-1, 3, _SIZE, _SIZE).transpose(0, 2, 3, 1))


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
