"""Makes the bundled sample from the original CIFAR-10 pickles.

    python -m vitsd_export.data.build_sample --data-dir cifar-10-batches-py --output cifar10_sample

The same input gives the same bytes (with the same pillow and pyarrow). The output is an ordinary
CIFAR-10 folder in the Hugging Face layout, which `load_cifar` reads; the column `img.path` says
which batch and row an image is.
"""

import argparse
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vitsd_export.data.detection import find_extracted
from vitsd_export.data.folders import require_folder
from vitsd_export.data.labels import CIFAR10_CLASSES
from vitsd_export.data.originals import TEST_BATCH, TRAIN_BATCHES
from vitsd_export.data.pickles import read_batch
from vitsd_export.data.sample import sample_file
from vitsd_export.errors import InputError, VitsdExportError

CALIBRATION_COUNT = 512
VERIFICATION_COUNT = 500

_Row = tuple[str, np.ndarray, int]


def build_sample(
    data_dir: Path | str,
    output: Path | str,
    *,
    calibration: int = CALIBRATION_COUNT,
    verification: int = VERIFICATION_COUNT,
) -> None:
    """Writes the sample's two parquet files.

    Args:
        data_dir: The original CIFAR-10 pickles, or the folder they lie in.
        output: Folder to write to; made if it is missing.
        calibration: Number of training images.
        verification: Number of test images, the first ones of the test batch.

    Raises:
        InputError: If the pickles are missing, damaged or hold too few images.
    """
    found = find_extracted(require_folder(data_dir, "CIFAR-10"), "cifar10")
    if found is None or found.original.version != "python":
        raise InputError(f"{data_dir} does not hold the original pickles cifar-10-batches-py.")
    folder = Path(found.container.source())
    target = Path(output)
    target.mkdir(parents=True, exist_ok=True)
    _write(list(_calibration_rows(folder, calibration)), target / sample_file("train"))
    _write(list(_verification_rows(folder, verification)), target / sample_file("test"))


def _calibration_rows(folder: Path, count: int) -> Iterator[_Row]:
    """Yields the first images of each class: the classes in turn, each from the batches in turn."""
    batches = [read_batch(folder / name, "labels", len(CIFAR10_CLASSES)) for name in TRAIN_BATCHES]
    unused = [
        [iter(np.flatnonzero(labels == label)) for label in range(len(CIFAR10_CLASSES))]
        for _, labels in batches
    ]
    for position in range(count):
        turn, label = divmod(position, len(CIFAR10_CLASSES))
        # Shifted by the class, so that each turn over the classes draws from every batch.
        batch = (turn + label) % len(TRAIN_BATCHES)
        row = next(unused[batch][label], None)
        if row is None:
            raise InputError(
                f"{folder / TRAIN_BATCHES[batch]} has too few images of class "
                f"{CIFAR10_CLASSES[label]} for a sample of {count}."
            )
        yield f"{TRAIN_BATCHES[batch]}/{row:05d}.png", batches[batch][0][row], label


def _verification_rows(folder: Path, count: int) -> Iterator[_Row]:
    images, labels = read_batch(folder / TEST_BATCH, "labels", len(CIFAR10_CLASSES))
    if len(images) < count:
        raise InputError(f"{folder / TEST_BATCH} has {len(images)} images, fewer than {count}.")
    for row in range(count):
        yield f"{TEST_BATCH}/{row:05d}.png", images[row], int(labels[row])


def _encode(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _write(rows: Sequence[_Row], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    image_type = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    encoded = [{"bytes": _encode(image), "path": name} for name, image, _ in rows]
    features = {
        "img": {"_type": "Image"},
        "label": {"names": list(CIFAR10_CLASSES), "_type": "ClassLabel"},
    }
    note = json.dumps({"info": {"features": features}})
    schema = pa.schema({"img": image_type, "label": pa.int64()}, metadata={"huggingface": note})
    labels = [label for _, _, label in rows]
    table = pa.table([pa.array(encoded, image_type), pa.array(labels, pa.int64())], schema=schema)
    # PNG is compressed already.
    pq.write_table(table, path, compression="none", use_dictionary=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Makes the bundled sample of CIFAR-10.")
    parser.add_argument("--data-dir", required=True, help="the original pickles")
    parser.add_argument("--output", required=True, help="folder to write the parquet files to")
    options = parser.parse_args(arguments)
    try:
        build_sample(options.data_dir, options.output)
    except VitsdExportError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
