"""Finds the parquet files of a data set by their names, without opening them."""

import re
from pathlib import Path

from vitsd_export.errors import InputError

_SUBFOLDERS = ("", "data", "plain_text", "cifar10", "cifar100")
_NUMBERED = re.compile(r"-(\d+)-of-(\d+)\.parquet$")


def find_shards(folder: Path, split: str) -> list[Path]:
    """Returns a split's parquet files in `folder` or its usual subfolders, sorted; maybe none."""
    for subfolder in _SUBFOLDERS:
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
