"""Finds CIFAR in a folder or a tarball, in any of the layouts that people hold."""

import dataclasses
import re
from collections.abc import Collection
from pathlib import Path

from vitsd_export.data.containers import Container, Folder
from vitsd_export.data.originals import CIFAR_NAMES, ORIGINALS, CifarName, Original
from vitsd_export.data.tarball import Tarball, is_tarball, list_files
from vitsd_export.errors import InputError

_SUBFOLDERS_OF_SHARDS = ("", "data", "plain_text", "cifar10", "cifar100")
_NUMBERED = re.compile(r"-(\d+)-of-(\d+)\.parquet$")


@dataclasses.dataclass(frozen=True)
class OriginalFiles:
    """A data set as its author distributes it, and the folder or the tarball that holds its files."""

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
    """Returns where a data set's original files are in a folder, or None; tarballs are ignored."""
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
    """Returns which of the data sets a folder or a tarball holds in a layout that `load_cifar` reads.

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


def find_shards(folder: Path, split: str) -> list[Path]:
    """Returns a split's parquet files in `folder` or its usual subfolders, sorted; maybe none."""
    for subfolder in _SUBFOLDERS_OF_SHARDS:
        shards = sorted((folder / subfolder).glob(f"{split}-*.parquet"))
        if shards:
            return shards
    return []


def check_complete(shards: list[Path]) -> None:
    """Makes sure that every file is there which the names `…-00000-of-00002.parquet` announce.

    Raises:
        InputError: If one is missing, or files of different downloads are mixed.
    """
    matches = [match for path in shards if (match := _NUMBERED.search(path.name))]
    if not matches:
        return
    counts = {int(match[2]) for match in matches}
    if len(counts) > 1 or len(matches) != len(shards):
        raise InputError(
            f"{shards[0].parent} mixes parquet files of different downloads: "
            f"{shards[0].name} and {shards[-1].name}. Keep one set."
        )
    count = counts.pop()
    missing = sorted(set(range(count)) - {int(match[1]) for match in matches})
    if missing:
        raise InputError(
            f"{shards[0].parent} lacks parquet file number {missing[0]} of the {count} that belong "
            f"together with {shards[0].name}. Download it too."
        )


def _tarballs(folder: Path, name: CifarName) -> list[Path]:
    candidates = [
        parent / file
        for original in ORIGINALS
        if original.name == name
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
