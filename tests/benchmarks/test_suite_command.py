"""`python -m benchmarks`: what it refuses, what it writes, and going on after an interrupt."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.suite.run import RESULTS_FILE, Request, measure
from tests.support.keras_models import TINY_MODEL
from vitsd_export.measure.benchmark.results import read_results, write_results
from vitsd_export.measure.benchmark.settings import Settings

_FEW = ("--only", "litert float32", "--rounds", "2", "--seconds", "0.5", "--threads", "1")


def _benchmarks(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_help_names_options_and_commands() -> None:
    result = _benchmarks("--help")
    assert result.returncode == 0
    for word in ("--quick", "--full", "--compare", "--tolerance", "readme", "lowering", "training"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--model", "no-such-model"], 3, "no-such-model does not exist"),
        (["--compare", "no-such-file.json"], 3, "no-such-file.json cannot be read"),
        (["--quick", "--full"], 2, "contradict"),
        (["--only", "nonesuch"], 2, "nonesuch"),
        (["--threads", "0"], 2, "--threads"),
        (["--batches", "one"], 2, "--batches"),
        (["--seconds", "-1"], 2, "seconds"),
        (["--no-such-option"], 2, "--no-such-option"),
        (["no-such-command"], 2, "no-such-command"),
        (["--timed-model", "no-such-model"], 3, "no-such-model does not exist"),
        (["readme", "no-such-file.json"], 3, "no-such-file.json cannot be read"),
    ],
)
def test_wrong_input_is_refused_at_once(
    arguments: list[str], code: int, told: str, tmp_path: Path
) -> None:
    output = [] if arguments[0] == "readme" else ["--output", tmp_path / "out"]
    result = _benchmarks(*output, *arguments)
    assert result.returncode == code, result.stderr
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("*.json"))


def test_file_that_is_no_result_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text('{"rows": []}', encoding="utf-8")
    result = _benchmarks("--compare", old, "--output", tmp_path)
    assert result.returncode == 3
    assert "is not a benchmark result" in result.stderr


def test_missing_data_folder_is_refused(tmp_path: Path) -> None:
    data = ("--data", "cifar10", "--data-dir", tmp_path / "missing")
    result = _benchmarks("--model", TINY_MODEL, *data, "--output", tmp_path)
    assert result.returncode == 3
    assert "missing" in result.stderr


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    result = _benchmarks("--output", tmp_path / "out")
    assert result.returncode == 5
    assert "--output" in result.stderr


@pytest.mark.slow
def test_run_writes_its_reports_and_a_worse_one_is_told(small_model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    result = _benchmarks("--model", small_model, "--output", output, *_FEW)
    assert result.returncode == 0, result.stderr
    results = read_results(output / "results.json")
    assert results.finished is not None
    assert [row.candidate.name for row in results.rows] == ["tf.lite float32", "litert float32"]
    for row in results.rows:
        assert row.failure is None
        assert row.parity is not None
        assert row.parity.max_abs_difference is not None
        assert row.parity.max_abs_difference <= 1e-4
        assert row.latencies[0].p50 > 0
    assert results.rows[1].latencies[0].ratio is not None
    assert results.rows[1].work is not None
    assert (output / "index.html").stat().st_size > 1000
    assert "litert float32" in (output / "report.md").read_text(encoding="utf-8")
    # Where the folders lie is nobody's business.
    assert results.command.startswith("python -m benchmarks --model small.keras --only 'litert")

    better = tmp_path / "better.json"
    rows = [
        dataclasses.replace(row, size=dataclasses.replace(row.size, bytes=row.size.bytes // 2))  # type: ignore[type-var, union-attr]
        for row in results.rows
    ]
    write_results(dataclasses.replace(results, rows=tuple(rows)), better)
    again = _benchmarks(
        "--model", small_model, "--output", output, *_FEW, "--compare", better, "--tolerance", "0.5"
    )
    assert again.returncode == 4, again.stderr
    assert "worse" in again.stderr


@pytest.mark.slow
def test_run_that_was_broken_off_goes_on(small_model: Path, tmp_path: Path) -> None:
    settings = Settings.quick(rounds=2, seconds=0.5, threads=(1,))
    request = Request(str(small_model), settings, tmp_path, only=("litert float32", "onnx float32"))
    state = tmp_path / RESULTS_FILE

    def interrupt(message: str, done: float = 0, total: float = 0) -> None:
        if state.exists() and done > 0.4 * total:
            raise KeyboardInterrupt

    broken = measure(request, "first", interrupt)
    assert broken.finished is None
    assert broken.rows
    assert read_results(state) == broken
    said: list[str] = []
    whole = measure(request, "second", lambda message, done=0, total=0: said.append(message))
    assert any(line.startswith("resuming the run of") for line in said)
    assert (whole.started, whole.command) == (broken.started, "second")
    assert whole.finished is not None
    assert len(whole.rows) == 4
    kept = {row.candidate.name: row for row in whole.rows}
    for row in broken.rows:
        # Parity was measured before the interrupt: the very same figures, not new ones.
        assert kept[row.candidate.name].parity == row.parity
        assert kept[row.candidate.name].start == row.start or row.start is None
    for row in whole.rows:
        assert row.failure is None
        assert row.latencies
    assert read_results(state).started == whole.started
