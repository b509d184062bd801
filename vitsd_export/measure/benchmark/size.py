"""Size of an artifact, on disk and as a download."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

from vitsd_export.measure.benchmark.results import Size

_LEVEL = 9


def measure_size(path: Path) -> Size:
    """Returns the bytes of a file, or of all files of a folder, plain and gzip-compressed one by one.

    Raises:
        OSError: If it cannot be read.
    """
    contents = [file.read_bytes() for file in _files(path)]
    return Size(sum(map(len, contents)), sum(map(_compressed, contents)))


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in sorted(path.rglob("*")) if file.is_file())
    else:
        yield path


def _compressed(content: bytes) -> int:
    buffer = io.BytesIO()
    # Without a time, so that the same file has the same size every day.
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=_LEVEL, mtime=0) as stream:
        stream.write(content)
    return buffer.getbuffer().nbytes
