"""Files made for the benchmarks, and where they are kept."""

import dataclasses
import os
from pathlib import Path

import platformdirs


@dataclasses.dataclass(frozen=True)
class Made:
    """A file that was to be made.

    Attributes:
        path: Where it lies; None if it could not be made.
        failure: Why it could not; None if it could or was not tried.
        skipped: Why it was not tried; None if it was.
    """

    path: Path | None
    failure: str | None = None
    skipped: str | None = None


def files_folder() -> Path:
    """Returns where made files are kept: in VITSD_EXPORT_CACHE, or in the system's folder for caches."""
    named = os.environ.get("VITSD_EXPORT_CACHE")
    root = Path(named) if named else platformdirs.user_cache_path("vitsd-export")
    return root / "benchmarks"
