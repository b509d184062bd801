"""Archives with other members, and files without the archive at their end."""

import zipfile
from pathlib import Path


def rewrite(path: Path, target: Path, members: dict[str, bytes | None]) -> Path:
    """Copies an archive with members in place of its own, or without them where they are None."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        contents: dict[str, bytes | None] = {name: source.read(name) for name in source.namelist()}
        for name, content in {**contents, **members}.items():
            if content is not None:
                copy.writestr(name, content)
    return target


def without_zip(path: Path) -> bytes:
    """A .tflite file without the manifest and the labels at its end."""
    with zipfile.ZipFile(path) as archive:
        start = min(entry.header_offset for entry in archive.infolist())
    return path.read_bytes()[:start]
