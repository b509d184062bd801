"""Data sets in the layouts that people hold, written by the tests themselves."""

import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from vitsd_export.data.containers import read_file
from vitsd_export.data.labels import CIFAR10_CLASSES, CIFAR100_COARSE_CLASSES, CIFAR100_FINE_CLASSES
from vitsd_export.data.safe_pickle import parse_pickle

Rows = tuple[np.ndarray, np.ndarray]


def encode(image: np.ndarray | Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def random_images(count: int, seed: int, *, size: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def planes(images: np.ndarray) -> np.ndarray:
    """[N, 3072]: a row holds the red plane, the green and the blue, as in CIFAR's own files."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2).reshape(len(images), -1))


def _python2_string(value: bytes) -> bytes:
    if len(value) < 256:
        return b"U" + bytes([len(value)]) + value
    return b"T" + len(value).to_bytes(4, "little") + value


def _python2_integer(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little", signed=True)


def _python2_array(array: np.ndarray) -> bytes:
    reconstruct = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    # Python 2 wrote the booleans `align` and `copy` as the integers 0 and 1.
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
    state = b"(K\x03U\x01|NNN" + _python2_integer(-1) * 2 + b"K\x00tb"
    shape = b"(" + b"".join(map(_python2_integer, array.shape)) + b"t"
    return (
        reconstruct
        + b"(K\x01"
        + shape
        + dtype
        + state
        + b"\x89"
        + _python2_string(array.tobytes())
        + b"tb"
    )


def _python2_value(value: object) -> bytes:
    if isinstance(value, np.ndarray):
        return _python2_array(value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2_value, value)) + b"e"
    if isinstance(value, int):
        return _python2_integer(value)
    assert isinstance(value, str)
    return _python2_string(value.encode())


def python2_pickle(entries: dict[str, object]) -> bytes:
    """The bytes that Python 2's cPickle with protocol 2 wrote for CIFAR's dictionaries."""
    items = b"".join(_python2_value(part) for entry in entries.items() for part in entry)
    return b"\x80\x02}(" + items + b"u."


def write_cifar10_pickles(folder: Path, train: Rows, test: Rows) -> Path:
    """Writes `cifar-10-batches-py` into `folder`, the training images over the five batches."""
    target = folder / "cifar-10-batches-py"
    target.mkdir(parents=True)
    parts = [
        (f"data_batch_{index + 1}", images, labels)
        for index, (images, labels) in enumerate(
            zip(np.array_split(train[0], 5), np.array_split(train[1], 5), strict=True)
        )
    ]
    for name, images, labels in [*parts, ("test_batch", *test)]:
        batch: dict[str, object] = {
            "batch_label": name,
            "labels": labels.tolist(),
            "data": planes(images),
            "filenames": [f"{index:05d}.png" for index in range(len(images))],
        }
        (target / name).write_bytes(python2_pickle(batch))
    return target


def write_cifar100_pickles(folder: Path, train: Rows, test: Rows, *, protocol: int = 4) -> Path:
    """Writes `cifar-100-python` as Python 3 would; a coarse label is a fine one // 5."""
    target = folder / "cifar-100-python"
    target.mkdir(parents=True)
    for name, (images, labels) in (("train", train), ("test", test)):
        batch = {
            "data": planes(images),
            "fine_labels": labels.tolist(),
            "coarse_labels": (labels // 5).tolist(),
        }
        (target / name).write_bytes(pickle.dumps(batch, protocol))
    return target


def _binary_rows(images: np.ndarray, *label_columns: np.ndarray) -> bytes:
    columns = np.stack(label_columns, axis=1).astype(np.uint8)
    return np.concatenate([columns, planes(images)], axis=1).tobytes()


def _write_names(path: Path, names: tuple[str, ...]) -> None:
    # The original files end with an empty line.
    path.write_text("\n".join(names) + "\n\n", newline="\n")


def write_cifar10_binary(folder: Path, train: Rows, test: Rows) -> Path:
    """Writes `cifar-10-batches-bin` into `folder`, the training images over the five batches."""
    target = folder / "cifar-10-batches-bin"
    target.mkdir(parents=True)
    for index, part in enumerate(np.array_split(np.arange(len(train[1])), 5)):
        rows = _binary_rows(train[0][part], train[1][part])
        (target / f"data_batch_{index + 1}.bin").write_bytes(rows)
    (target / "test_batch.bin").write_bytes(_binary_rows(*test))
    _write_names(target / "batches.meta.txt", CIFAR10_CLASSES)
    (target / "readme.html").write_text("<html>")
    return target


def write_cifar100_binary(folder: Path, train: Rows, test: Rows) -> Path:
    """Writes `cifar-100-binary` into `folder`; a coarse label is a fine one // 5."""
    target = folder / "cifar-100-binary"
    target.mkdir(parents=True)
    for name, (images, labels) in (("train", train), ("test", test)):
        (target / f"{name}.bin").write_bytes(_binary_rows(images, labels // 5, labels))
    _write_names(target / "fine_label_names.txt", CIFAR100_FINE_CLASSES)
    _write_names(target / "coarse_label_names.txt", CIFAR100_COARSE_CLASSES)
    return target


def pack(folder: Path, tarball: Path) -> Path:
    """Packs a folder under its own name; compressed unless the tarball is called `.tar`."""
    tarball.parent.mkdir(parents=True, exist_ok=True)
    mode = "w" if tarball.suffix == ".tar" else "w:gz"
    options = {} if mode == "w" else {"compresslevel": 1}
    with tarfile.open(tarball, mode, **options) as archive:  # type: ignore[call-overload]
        archive.add(folder, folder.name)
    return tarball


def write_parquet(
    path: Path,
    images: np.ndarray | list[bytes | None],
    labels: dict[str, Any],
    *,
    image_column: str = "img",
    struct: bool = True,
    noted_classes: int | None = None,
    **options: Any,
) -> None:
    """Writes a parquet file in the Hugging Face layout."""
    encoded = images if isinstance(images, list) else [encode(image) for image in images]
    cells: list[Any] = [
        None if data is None else {"bytes": data, "path": None} if struct else data
        for data in encoded
    ]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()}) if struct else pa.binary()
    columns = {image_column: pa.array(cells, kind)}
    columns |= {name: pa.array(values) for name, values in labels.items()}
    table = pa.table(columns)
    if noted_classes is not None:
        names = [str(index) for index in range(noted_classes)]
        note = {"info": {"features": {name: {"names": names} for name in labels}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(note)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)


def read_pickle(path: Path) -> dict[str, Any]:
    """A file through the safe parser."""
    return parse_pickle(read_file(path), str(path))
