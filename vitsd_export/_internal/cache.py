"""Where files are kept that can be made or fetched again."""

import os
from pathlib import Path
from typing import Literal

import platformdirs


def cache_folder(kind: Literal["benchmarks", "calibration", "engines", "npm"]) -> Path:
    """Returns the folder of a kind of files in VITSD_EXPORT_CACHE, or in the system's folder for caches."""
    named = os.environ.get("VITSD_EXPORT_CACHE")
    return (Path(named) if named else platformdirs.user_cache_path("vitsd-export")) / kind
