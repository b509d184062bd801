"""Files made for the benchmarks."""

import dataclasses
from pathlib import Path


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
