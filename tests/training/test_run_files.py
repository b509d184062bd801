"""The table of a run, and its best epoch."""

import csv
from pathlib import Path

from training.run_files import best_epoch, write_log


def test_the_table_holds_every_figure(tmp_path: Path) -> None:
    log = [{"epoch": 1, "loss": 0.1}, {"epoch": 2, "loss": 1 / 3}]
    write_log(tmp_path / "log.csv", log)
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert rows == log
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_the_best_epoch_has_the_highest_validation_accuracy_and_is_the_later_of_equals() -> None:
    rows: list[dict[str, float]] = [
        {"epoch": 1, "validation_top1": 0.5},
        {"epoch": 2, "validation_top1": 0.7},
        {"epoch": 3, "validation_top1": 0.7},
        {"epoch": 4, "validation_top1": 0.6},
        {"epoch": 5, "validation_top1": float("nan")},
    ]
    assert best_epoch(rows) == 3
    assert best_epoch(rows[:1]) == 1
    assert best_epoch([{"epoch": 1, "top1": 0.5}, {"epoch": 2, "top1": 0.4}]) == 2
    assert best_epoch([]) == 0
