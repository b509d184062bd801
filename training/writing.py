"""Writing of a run's files."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from vitsd_export.errors import EnvironmentProblem


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Reports a write that failed inside the block as something to do outside the program.

    Raises:
        EnvironmentProblem: If a file could not be written.
    """
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(
            f"Writing to {folder} failed: {error}. What was there is kept: make room or permit it, and "
            "go on with --resume."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Writes a small file of a run under a temporary name first.

    Raises:
        EnvironmentProblem: If the file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.writing")
    with writing(path.parent):
        temporary.write_text(text, encoding="utf-8", newline="")
        os.replace(temporary, path)
