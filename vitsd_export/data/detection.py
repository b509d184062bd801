"""Finds CIFAR in a folder or a tarball, in any of the layouts that people hold."""

import dataclasses
from collections.abc import Collection
from pathlib import Path

from vitsd_export.data.containers import Container, Folder
from vitsd_export.data.originals import CIFAR_NAMES, ORIGINALS, CifarName, Original
from vitsd_export.data.shards import find_shards
from vitsd_export.data.tarball import Tarball, is_tarball, list_files


@dataclasses.dataclass(frozen=True)
class OriginalFiles:
    """A data set as its author distributes it.

    Attributes:
        original: Which version of which data set it is.
        container: The folder, or the tarball, that holds its files.
    """

    original: Original
    container: Container


def find_original(path: Path, name: CifarName) -> OriginalFiles | None:
    """Returns where a data set's original files are, or None.

    Extracted files go before tarballs, and the Python version before the binary one.

    Args:
        path: A tarball, the data set's own folder, a folder that holds that folder or its tarball
            (torchvision's root), or Keras's folder.
        name: Which data set.

    Raises:
        InputError: If it is in a tarball which cannot be read or is damaged.
    """
    if is_tarball(path):
        return _in_tarball(path, (name,)).get(name)
    folder = find_extracted(path, name)
    if folder is not None:
        return folder
    for tarball in _tarballs(path, name):
        found = _in_tarball(tarball, (name,))
        if name in found:
            return found[name]
    return None


def find_extracted(folder: Path, name: CifarName) -> OriginalFiles | None:
    """Returns where a data set's original files are in a folder, or None; tarballs are ignored.

    Args:
        folder: As for `find_original`.
        name: Which data set.
    """
    for original in ORIGINALS:
        if original.name != name:
            continue
        own = original.folder
        for parent in (folder, folder / "datasets"):
            nested = (parent / own, parent / f"{own}-target" / own, parent / own / own)
            for candidate in map(Folder, (parent, *nested)):
                if original.is_in(candidate.path.name, candidate.has):
                    return OriginalFiles(original, candidate)
    return None


def detect_cifar(path: Path) -> tuple[CifarName, ...]:
    """Returns which of the data sets a folder or a tarball holds in a layout `load_cifar` reads.

    Raises:
        InputError: If there are parquet files which are damaged or are not of CIFAR, or a tarball
            cannot be read.
    """
    if is_tarball(path):
        held = _in_tarball(path, CIFAR_NAMES)
        return tuple(name for name in CIFAR_NAMES if name in held)
    found: set[str] = {name for name in CIFAR_NAMES if find_original(path, name) is not None}
    shards = find_shards(path, "train") or find_shards(path, "test")
    if shards:
        from vitsd_export.data import parquet

        found.add(parquet.detect_name(shards))
    return tuple(name for name in CIFAR_NAMES if name in found)


def _tarballs(folder: Path, name: CifarName) -> list[Path]:
    originals = [original for original in ORIGINALS if original.name == name]
    candidates = [
        parent / file
        for original in originals
        for parent in (folder, folder / "datasets")
        for file in original.tarball_names()
    ]
    return [path for path in candidates if is_tarball(path)]


def _in_tarball(path: Path, names: Collection[CifarName]) -> dict[CifarName, OriginalFiles]:
    """Returns the data sets in a tarball among `names`; reads on until it has found them all."""
    found: dict[CifarName, OriginalFiles] = {}
    files_by_folder: dict[str, set[str]] = {}
    for folder, file in list_files(path):
        files = files_by_folder.setdefault(folder, set())
        files.add(file)
        for original in ORIGINALS:
            if original.name not in names or original.name in found:
                continue
            if original.is_in(folder.rpartition("/")[2], files.__contains__):
                found[original.name] = OriginalFiles(original, Tarball(path, folder))
        if len(found) == len(names):
            break
    return found
