"""The small files of a run, written whole or not at all, and its log: a row an epoch."""

import contextlib
import csv
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
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


def write_log(path: Path, log: Sequence[Mapping[str, float]]) -> None:
    """Writes the rows of a log, at least one and all with the same columns, as CSV.

    Raises:
        EnvironmentProblem: If the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(log[0]))
    writer.writeheader()
    writer.writerows(log)
    write_text(path, text.getvalue())


def best_epoch(log: Sequence[Mapping[str, float]]) -> int:
    """Returns the epoch, from 1, of the highest `validation_top1` of the last stage, the later one of equals.

    The last epoch if nothing was held out; 0 of an empty log. Later weights are preferred because they
    had a lower learning rate; those of an earlier stage belong to another image size.
    """
    scored = [
        (row["validation_top1"], int(row["epoch"]))
        for row in log
        if math.isfinite(row.get("validation_top1", math.nan))
        and row.get("image_size") == log[-1].get("image_size")
    ]
    return max(scored)[1] if scored else len(log)
