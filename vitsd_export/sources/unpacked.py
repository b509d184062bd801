"""A folder with the members of a .keras archive, as Keras uploads them to the Hugging Face hub."""

import contextlib
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from vitsd_export.sources.folders import UNPACKED_FILES


@contextlib.contextmanager
def packed(folder: Path) -> Iterator[Path]:
    """Yields a .keras file of the folder's members, which goes when the block ends."""
    with tempfile.TemporaryDirectory(prefix="vitsd-export-") as scratch:
        path = Path(scratch) / f"{folder.resolve().name}.keras"
        with zipfile.ZipFile(path, "w") as archive:
            for name in UNPACKED_FILES:
                archive.write(folder / name, name)
        yield path
