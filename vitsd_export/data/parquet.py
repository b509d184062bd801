"""CIFAR as the Hugging Face hub holds it: parquet, an encoded image and its label in each row."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vitsd_export.data.images import decode_image
from vitsd_export.errors import InputError

_IMAGE_COLUMNS = ("img", "image")
_LABEL_COLUMNS = ("label", "labels")
_FINE_COLUMN = "fine_label"
_COARSE_COLUMN = "coarse_label"
_NUM_CLASSES = {10: "cifar10", 100: "cifar100"}
# Rows decoded at a time: enough to hide pyarrow's overhead, little memory.
_BATCH_ROWS = 1024


def detect_name(shards: Sequence[Path]) -> str:
    """Returns `cifar10` or `cifar100`, as the files' columns tell.

    Where the labels' column is just called `label`, their number of classes tells: as the
    `datasets` library noted it in the file, or else as the labels themselves show it.

    Raises:
        InputError: If a file is damaged or is not of CIFAR.
    """
    with _reading(shards[0]):
        schema = pq.read_schema(shards[0])
    if _FINE_COLUMN in schema.names or _COARSE_COLUMN in schema.names:
        return "cifar100"
    column = _first_of(_LABEL_COLUMNS, schema.names, shards[0])
    num_classes = _noted_classes(schema, column)
    if num_classes is None:
        num_classes = 10 if max(_largest_label(path, column) for path in shards) < 10 else 100
    if num_classes not in _NUM_CLASSES:
        raise InputError(f"{shards[0]} is not CIFAR: its labels are of {num_classes} classes.")
    return _NUM_CLASSES[num_classes]


def read_shards(
    shards: Sequence[Path], name: str, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Reads a split from its parquet files, at least one, in their order.

    Returns:
        Images [N, height, width, 3] uint8 and labels [N] int64, CIFAR-100's fine ones.

    Raises:
        InputError: If a file is damaged, empty, or of another data set, or the images differ in size.
    """
    found = detect_name(shards)
    if found != name:
        raise InputError(f"{shards[0]} holds {found}, but {name} was asked for.")
    total = 0
    for path in shards:
        with _reading(path):
            total += pq.read_metadata(path).num_rows
    images: np.ndarray | None = None
    labels: list[int] = []
    for path in shards:
        for row, (data, label) in enumerate(_rows(path)):
            where = f"in row {row} of {path}"
            if data is None or label is None:
                raise InputError(f"The image or label {where} is missing. Download the file again.")
            if not 0 <= label < num_classes:
                raise InputError(
                    f"The label {where} is {label}, but {name} has the labels 0 to "
                    f"{num_classes - 1}. The file is of another data set, or lacks its labels."
                )
            image = decode_image(data, where)
            if images is None:
                images = _allocate((total, *image.shape), path)
            if image.shape != images.shape[1:]:
                raise InputError(
                    f"The image {where} is {image.shape[1]}×{image.shape[0]} pixels, the first one "
                    f"{images.shape[2]}×{images.shape[1]}. All images must have one size."
                )
            images[len(labels)] = image
            labels.append(label)
    if images is None:
        raise InputError(f"{shards[0]} has no rows. Download the data set again.")
    return images, np.array(labels, np.int64)


def _allocate(shape: tuple[int, ...], path: Path) -> np.ndarray:
    try:
        return np.empty(shape, np.uint8)
    except (MemoryError, ValueError) as error:
        raise InputError(
            f"{path} announces {shape[0]} images of {shape[2]}×{shape[1]} pixels, which do not fit "
            "into memory. The file is damaged, or is not CIFAR."
        ) from error


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raises InputError for what pyarrow raises in the block."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} is not a readable parquet file ({error}). Download it again."
        ) from error


def _noted_classes(schema: Any, column: str) -> int | None:
    """Returns how many class names the `datasets` library noted for a column, if it did."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return len(features[column]["names"])
    except (ValueError, TypeError, LookupError):
        return None


def _largest_label(path: Path, column: str) -> int:
    with _reading(path):
        largest = pc.max(pq.read_table(path, columns=[column])[column]).as_py()
    return largest if isinstance(largest, int) else -1


def _first_of(wanted: Sequence[str], columns: Sequence[str], path: Path) -> str:
    for column in wanted:
        if column in columns:
            return column
    raise InputError(
        f"{path} is not a CIFAR file: it has no column {' or '.join(wanted)}, "
        f"only {', '.join(columns) or 'none'}."
    )


def _columns(schema: Any, path: Path) -> tuple[str, str]:
    """Returns the columns of the images and of the labels, after checking their types."""
    image = _first_of(_IMAGE_COLUMNS, schema.names, path)
    label = _first_of((_FINE_COLUMN, *_LABEL_COLUMNS), schema.names, path)
    image_type, label_type = schema.field(image).type, schema.field(label).type
    if pa.types.is_struct(image_type) and image_type.get_field_index("bytes") >= 0:
        image_type = image_type.field("bytes").type
    if not (pa.types.is_binary(image_type) or pa.types.is_large_binary(image_type)):
        raise InputError(
            f"{path} has images of type {image_type} in the column {image}; encoded images are "
            "read (binary, or a struct with `bytes`)."
        )
    if not pa.types.is_integer(label_type):
        raise InputError(
            f"{path} has labels of type {label_type} in the column {label}, not integers."
        )
    return image, label


def _rows(path: Path) -> Iterator[tuple[bytes | None, int | None]]:
    """Yields the encoded image and the label of each row."""
    with _reading(path), pq.ParquetFile(path) as file:
        image, label = _columns(file.schema_arrow, path)
        for batch in file.iter_batches(_BATCH_ROWS, columns=[image, label]):
            encoded = batch.column(image)
            if pa.types.is_struct(encoded.type):
                encoded = pc.struct_field(encoded, "bytes")
            yield from zip(encoded.to_pylist(), batch.column(label).to_pylist(), strict=True)
