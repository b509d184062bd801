"""The log of a run: a row an epoch, as a table on disk, and which epoch was best."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.writing import write_text


def write_log(path: Path, log: Sequence[Mapping[str, float]]) -> None:
    """Writes a log as CSV, atomically.

    Args:
        path: Target.
        log: One row an epoch, all with the same columns; at least one.

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
