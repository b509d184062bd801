"""Makes a bundled sample from all of CIFAR-10 or CIFAR-100.

    python -m vitsd_export.data.build_sample cifar10 --data-dir cifar-10-batches-py --output cifar10_sample
    python -m vitsd_export.data.build_sample cifar100 --data-dir cifar100 --output cifar100_sample

The same images give the same bytes (with the same pillow and pyarrow). The output is an ordinary CIFAR
folder in the Hugging Face layout, which `load_cifar` reads, its pixels stored without loss.
"""

import argparse
import collections
import hashlib
import io
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vitsd_export.data.cifar import load_cifar
from vitsd_export.data.containers import read_file, require_folder
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.detection import find_extracted
from vitsd_export.data.original_reader import parse_batch
from vitsd_export.data.originals import (
    CIFAR_NAMES,
    CLASSES,
    TEST_BATCH,
    TRAIN_BATCHES,
    CifarName,
    Split,
)
from vitsd_export.data.sample import sample_file
from vitsd_export.errors import InputError, VitsdExportError

# More of CIFAR-100, so that each class has ten images to calibrate on and some are left to choose on.
CALIBRATION_COUNTS: dict[CifarName, int] = {"cifar10": 512, "cifar100": 1000}
VERIFICATION_COUNT = 500

# Path, [32, 32, 3] pixels, label.
_Row = tuple[str, np.ndarray, int]


def build_sample(
    name: CifarName,
    data_dir: Path | str,
    output: Path | str,
    *,
    calibration: int | None = None,
    verification: int = VERIFICATION_COUNT,
) -> None:
    """Writes a sample's two parquet files; their column `img.path` says which image a row is.

    Of CIFAR-10 the first images of each class are taken for the calibration, evenly from the training
    batches, and the first test images for the verification. CIFAR-100 is held in many orders of rows; of
    each class those images are taken whose pixels have the smallest SHA-256. An image that CIFAR-100
    holds twice, some of them in both splits or under two labels, is left out.

    Args:
        name: Which data set.
        data_dir: Where it is: CIFAR-10 as the original pickles (their folder or its parent), CIFAR-100 in
            any layout that `load_cifar` reads.
        output: Folder to write to; made if it is missing.
        calibration: Number of training images; that of `CALIBRATION_COUNTS` when None.
        verification: Number of test images.

    Raises:
        InputError: If the data set is missing, damaged or holds too few images.
    """
    count = CALIBRATION_COUNTS[name] if calibration is None else calibration
    classes = CLASSES[name]
    if name == "cifar10":
        folder = _pickles(data_dir)
        train = [_batch(folder / batch) for batch in TRAIN_BATCHES]
        test = _batch(folder / TEST_BATCH)[:verification]
        if len(test) < verification:
            raise InputError(
                f"{folder / TEST_BATCH} has {len(test)} images, fewer than {verification}."
            )
    else:
        splits = load_cifar(name, "train", data_dir), load_cifar(name, "test", data_dir)
        digests = [[hashlib.sha256(image).hexdigest() for image in each.images] for each in splits]
        counts = collections.Counter(itertools.chain(*digests))
        train, whole = (
            [_by_digest(each, found, counts)] for each, found in zip(splits, digests, strict=True)
        )
        test = list(_balanced(whole, classes, verification, str(data_dir)))
    rows = list(_balanced(train, classes, count, str(data_dir)))
    target = Path(output)
    target.mkdir(parents=True, exist_ok=True)
    _write(name, rows, target, "train")
    _write(name, test, target, "test")


def _pickles(data_dir: Path | str) -> Path:
    found = find_extracted(require_folder(data_dir, "CIFAR-10"), "cifar10")
    if found is None or found.original.version != "python":
        raise InputError(f"{data_dir} does not hold the original pickles cifar-10-batches-py.")
    return found.container.path


def _batch(file: Path) -> list[_Row]:
    images, labels = parse_batch(read_file(file), str(file), "cifar10")
    return [
        (f"{file.name}/{row:05d}.webp", image, label)
        for row, (image, label) in enumerate(zip(images, labels.tolist(), strict=True))
    ]


def _by_digest(data: ImageDataset, digests: Sequence[str], counts: Mapping[str, int]) -> list[_Row]:
    """Returns the images that are there once, in the order of their digests."""
    if data.labels is None:
        raise ValueError(f"{data.source} has no labels.")
    return [
        (f"{data.split}/{digests[row]}.webp", data.images[row], int(data.labels[row]))
        for row in sorted(range(len(data)), key=digests.__getitem__)
        if counts[digests[row]] == 1
    ]


def _balanced(
    batches: Sequence[Sequence[_Row]], classes: Sequence[str], count: int, where: str
) -> Iterator[_Row]:
    """Yields the first images of each class: the classes in turn, each from the batches in turn."""
    unused = [
        [iter([row for row in batch if row[2] == label]) for label in range(len(classes))]
        for batch in batches
    ]
    for position in range(count):
        turn, label = divmod(position, len(classes))
        # Shifted by the class, so that each turn over the classes draws from every batch.
        row = next(unused[(turn + label) % len(batches)][label], None)
        if row is None:
            raise InputError(
                f"{where} has too few images of class {classes[label]} for a sample of {count}."
            )
        yield row


def _encode(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="WebP", lossless=True)
    return buffer.getvalue()


def _write(name: CifarName, rows: Sequence[_Row], folder: Path, split: Split) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = "label" if name == "cifar10" else "fine_label"
    image_type = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    encoded = [{"bytes": _encode(image), "path": path} for path, image, _ in rows]
    features = {
        "img": {"_type": "Image"},
        column: {"names": list(CLASSES[name]), "_type": "ClassLabel"},
    }
    note = json.dumps({"info": {"features": features}})
    schema = pa.schema({"img": image_type, column: pa.int64()}, metadata={"huggingface": note})
    labels = [label for _, _, label in rows]
    table = pa.table([pa.array(encoded, image_type), pa.array(labels, pa.int64())], schema=schema)
    # WebP is compressed already.
    pq.write_table(table, folder / sample_file(split), compression="none", use_dictionary=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Makes a bundled sample of CIFAR.")
    parser.add_argument("name", choices=CIFAR_NAMES)
    parser.add_argument(
        "--data-dir", required=True, help="the original pickles, or all of CIFAR-100"
    )
    parser.add_argument("--output", required=True, help="folder to write the parquet files to")
    options = parser.parse_args(arguments)
    try:
        build_sample(options.name, options.data_dir, options.output)
    except VitsdExportError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
