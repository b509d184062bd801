"""End-to-end tests of `vitsd-export benchmark`."""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.command_line import Artifacts, Outcome, run_command
from vitsd_export.measure.benchmark.results import read_results

SHORT = ("--batches", "1,2", "--threads", "1", "--rounds", "2", "--quick")


def bench(*arguments: object) -> Outcome:
    return run_command("benchmark", *arguments, *SHORT)


@pytest.fixture(scope="module")
def run(
    small_model: Path, small_artifacts: Artifacts, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Outcome, Path]:
    """One run over ONNX and LiteRT files, and the folder with all it wrote."""
    folder = tmp_path_factory.mktemp("benchmark")
    outcome = bench(
        small_artifacts.onnx,
        small_artifacts.onnx_int8,
        small_artifacts.tflite,
        "--reference",
        small_model,
        "--runtime",
        "onnxruntime",
        "--runtime",
        "litert",
        "--json",
        "--output",
        folder / "results.json",
        "--html",
        folder / "page.html",
        "--markdown",
        folder / "tables.md",
    )
    assert outcome.exit_code == 0, outcome.stderr
    return outcome, folder


def test_the_results_are_those_of_the_artifacts(
    run: tuple[Outcome, Path], small_artifacts: Artifacts
) -> None:
    outcome, folder = run
    document: dict[str, Any] = json.loads(outcome.stdout)
    results = read_results(folder / "results.json")
    assert document["rows"][0]["candidate"]["name"] == results.rows[0].candidate.name
    rows = {row.candidate.name: row for row in results.rows}
    assert list(rows) == ["small.onnx", "small-int8.onnx", "small.tflite"]
    assert all(row.failure is None for row in rows.values())
    assert rows["small-int8.onnx"].candidate.baseline == "small.onnx"
    assert rows["small-int8.onnx"].candidate.scheme == "int8"
    assert results.finished is not None
    assert results.command.startswith("vitsd-export benchmark")
    assert results.data["images"] == 500
    assert results.settings["rounds"] == 2
    parity = rows["small.tflite"].parity
    assert parity is not None
    assert parity.max_abs_difference is not None
    assert parity.max_abs_difference <= 1e-4
    size = rows["small.onnx"].size
    assert size is not None
    assert size.bytes == small_artifacts.onnx.stat().st_size


def test_the_reports_are_written(run: tuple[Outcome, Path]) -> None:
    _, folder = run
    assert "small-int8.onnx" in (folder / "page.html").read_text(encoding="utf-8")
    assert "small-int8.onnx" in (folder / "tables.md").read_text(encoding="utf-8")


def test_progress_is_told_on_standard_error(run: tuple[Outcome, Path]) -> None:
    outcome, _ = run
    assert "loading the model" in outcome.stderr
    assert "%" in outcome.stderr


def test_a_run_that_is_worse_than_an_older_one_ends_with_4(
    run: tuple[Outcome, Path], small_model: Path, small_artifacts: Artifacts, tmp_path: Path
) -> None:
    _, folder = run
    document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for row in document["rows"]:
        row["size"] = {"bytes": 1000, "compressed": 900}
    old = tmp_path / "old.json"
    old.write_text(json.dumps(document))
    outcome = bench(
        small_artifacts.onnx,
        "--reference",
        small_model,
        "--runtime",
        "onnxruntime",
        "--compare",
        old,
    )
    assert outcome.exit_code == 4
    assert "Worse than" in outcome.error
    assert "small.onnx" in outcome.stdout


def test_another_models_artifact_is_refused_unless_forced(
    exported: Artifacts, small_model: Path, small_artifacts: Artifacts
) -> None:
    arguments = (exported.onnx, "--reference", small_model, "--runtime", "onnxruntime")
    refused = bench(*arguments)
    assert refused.exit_code == 2
    assert "was made from another file than the reference" in refused.error
    assert "--force" in refused.error
    forced = bench(*arguments, "--force", "--json")
    # It runs, and its row says how far it is off, or that it does not fit at all.
    (row,) = json.loads(forced.stdout)["rows"]
    if row["failure"] is None:
        assert row["parity"]["max_abs_difference"] > 0.01
    else:
        assert "the reference model takes" in row["failure"]


def test_an_artifact_that_no_runtime_loads_is_a_row(
    small_model: Path, small_artifacts: Artifacts, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(small_artifacts.onnx.read_bytes()[:5000])
    outcome = bench(
        broken,
        small_artifacts.onnx,
        "--reference",
        small_model,
        "--runtime",
        "onnxruntime",
        "--json",
    )
    assert outcome.exit_code == 0, outcome.stderr
    broken_row, sound_row = json.loads(outcome.stdout)["rows"]
    assert "broken.onnx cannot be used" in broken_row["failure"]
    assert sound_row["failure"] is None
    assert len(sound_row["latencies"]) == 2


def test_a_run_without_one_sound_artifact_ends_with_3(
    small_model: Path, small_artifacts: Artifacts, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(small_artifacts.onnx.read_bytes()[:5000])
    outcome = bench(broken, "--reference", small_model, "--runtime", "onnxruntime", "--json")
    assert outcome.exit_code == 3
    assert "None of the artifacts" in outcome.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--batches", "0"), "--batches must be numbers"),
        (("--threads", "two"), "--threads must be numbers"),
        (("--runtime", "tensorrt"), "There is no runtime 'tensorrt'"),
        (("--runtime", "litert"), "none of the runtimes litert"),
    ],
)
def test_options_that_make_no_sense_fail(
    small_model: Path, small_artifacts: Artifacts, arguments: tuple[str, str], message: str
) -> None:
    outcome = run_command("benchmark", small_artifacts.onnx, "--reference", small_model, *arguments)
    assert outcome.exit_code == 2
    assert message in outcome.error


def test_a_place_that_cannot_be_written_to_is_told_before_the_work(
    small_artifacts: Artifacts, tmp_path: Path
) -> None:
    outcome = bench(small_artifacts.onnx, "--html", tmp_path / "nowhere" / "page.html")
    assert outcome.exit_code == 5
    assert "There is no folder" in outcome.error


def test_an_artifact_that_is_missing_fails(tmp_path: Path) -> None:
    outcome = bench(tmp_path / "gone.onnx")
    assert outcome.exit_code == 3
    assert "does not exist" in outcome.error


def test_an_interrupt_keeps_what_was_measured_and_leaves_no_process(
    small_model: Path, small_artifacts: Artifacts, tmp_path: Path
) -> None:
    results = tmp_path / "results.json"
    arguments = [small_artifacts.onnx, small_artifacts.tflite, "--reference", small_model]
    arguments += ["--runtime", "onnxruntime", "--runtime", "litert", "--output", results]
    # A second of rounds for each of a thousand: it is still at it when the first row is there.
    arguments += ["--batches", "1,2,3,4", "--threads", "1", "--rounds", "1000"]
    with (tmp_path / "errors").open("wb") as errors:
        command = [sys.executable, "-W", "ignore", "-m", "vitsd_export", "benchmark"]
        process = psutil.Popen([*command, *map(str, arguments)], stdout=errors, stderr=errors)
        try:
            for _ in range(600):
                if results.exists() and len(read_results(results).rows) == 2:
                    break
                time.sleep(0.1)
            time.sleep(1)
            workers = process.children(recursive=True)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130, (tmp_path / "errors").read_text()
        finally:
            if process.is_running():
                process.kill()
                process.wait()
    assert workers
    assert not [worker for worker in workers if worker.is_running()]
    kept = read_results(results)
    assert kept.finished is None
    assert [row.candidate.name for row in kept.rows] == ["small.onnx", "small.tflite"]
    assert all(row.parity is not None for row in kept.rows)
    assert "interrupted" in (tmp_path / "errors").read_text()
