"""Tests of whole runs: real worker processes, tiny networks, and candidates that break in every way."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.support.odd_runners import HERE
from tests.support.tiny_artifacts import (
    IMAGES,
    LABELS,
    reference_probabilities,
    write_onnx,
    write_tflite,
)
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import UsageError
from vitsd_export.measure.benchmark.engine import Conditions, run_engine
from vitsd_export.measure.benchmark.results import Candidate, Row, Speed
from vitsd_export.measure.benchmark.settings import Settings

REFERENCE = reference_probabilities(IMAGES).astype(np.float32)
DATA = ImageDataset(
    IMAGES, REFERENCE.argmax(axis=1).astype(np.int64), LABELS, "tiny", "test", "here"
)
SPEED = Speed(1, 1e11, 2e11, 1e10)


def settings_of(**changes: object) -> Settings:
    short: dict[str, object] = {
        "batches": (1, 3),
        "threads": (1,),
        "launches": 2,
        "rounds": 3,
        "calls": 2,
        "seconds": 0.5,
        "warmup_seconds": 0.2,
        "timeout": 30.0,
        "resamples": 50,
    }
    return Settings(**{**short, **changes})  # type: ignore[arg-type]


def numpy_candidate(name: str, runner: str, path: Path, baseline: str | None = None) -> Candidate:
    return Candidate(name, f"{HERE}:{runner}", "odd", path=str(path), baseline=baseline)


def run(
    candidates: Sequence[Candidate],
    seen: list[Row] | None = None,
    done: dict[str, Row] | None = None,
    **changes: object,
) -> dict[str, Row]:
    seen = [] if seen is None else seen
    rows = run_engine(
        candidates,
        Conditions(DATA, LABELS, REFERENCE, settings_of(**changes), SPEED),
        done=done,
        on_row=seen.append,
    )
    last = {row.candidate.name: row for row in seen}
    for row in rows:
        assert done or last[row.candidate.name] == row
    return {row.candidate.name: row for row in rows}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a tiny artifact of two formats."""
    folder = tmp_path_factory.mktemp("tiny")
    write_onnx(folder / "tiny.onnx")
    write_tflite(folder / "tiny.tflite")
    return folder


@pytest.fixture(scope="module")
def measured(tiny: Path) -> dict[str, Row]:
    """One run of sound candidates."""
    onnx, tflite = str(tiny / "tiny.onnx"), str(tiny / "tiny.tflite")
    return run(
        [
            Candidate("onnx", "onnxruntime", "onnx", "float32", path=onnx),
            Candidate("tflite", "litert", "tflite", "float32", path=tflite, baseline="onnx"),
            Candidate("kernels", "litert-no-xnnpack", "tflite", path=tflite, baseline="tflite"),
            numpy_candidate("fixed", "FixedBatchRunner", tiny / "tiny.onnx", baseline="onnx"),
        ]
    )


@pytest.mark.parametrize("name", ["onnx", "tflite", "kernels", "fixed"])
def test_a_sound_candidate_has_every_figure(measured: dict[str, Row], name: str) -> None:
    row = measured[name]
    assert (row.failure, row.skipped) == (None, None)
    assert row.parity is not None
    assert row.parity.images == len(IMAGES)
    assert row.parity.max_abs_difference is not None
    assert row.parity.max_abs_difference < 1e-5
    assert row.accuracy is not None
    assert row.accuracy.top1.value == 1
    assert row.size is not None
    assert row.start is not None
    assert row.start.launches == 2
    assert 0 < row.start.rss_before <= row.start.rss_load <= row.start.rss_inference
    assert [(entry.batch, entry.threads) for entry in row.latencies] == [(1, 1), (3, 1)]
    for entry in row.latencies:
        assert entry.calls == len(entry.samples) == 2 * 3 * 2
        assert 0 < entry.p50 <= entry.p90 <= entry.p99 <= max(entry.samples)
        assert entry.throughput == pytest.approx(1e3 * entry.batch / entry.p50)
        assert entry.launches == 2


def test_times_are_beside_those_of_the_baseline(measured: dict[str, Row]) -> None:
    for entry, baseline in zip(
        measured["tflite"].latencies, measured["onnx"].latencies, strict=True
    ):
        assert entry.ratio is not None
        assert entry.ratio.value == pytest.approx(entry.p50 / baseline.p50, rel=1e-3)
        assert entry.ratio.low < entry.ratio.value < entry.ratio.high
        assert entry.verdict in ("faster", "slower", "same")
    assert all(entry.ratio is None for entry in measured["onnx"].latencies)


def test_a_batch_beyond_the_files_own_takes_several_inferences(measured: dict[str, Row]) -> None:
    calls = {name: [entry.inferences for entry in row.latencies] for name, row in measured.items()}
    assert calls == {"onnx": [1, 1], "tflite": [1, 3], "kernels": [1, 3], "fixed": [1, 2]}


def test_what_ran_and_how_much_is_told(measured: dict[str, Row]) -> None:
    providers = {name: row.delegation and row.delegation.provider for name, row in measured.items()}
    assert providers["onnx"] == "CPUExecutionProvider"
    assert providers["kernels"] == "LiteRT kernels"
    assert providers["fixed"] is None
    work = measured["onnx"].work
    assert work is not None
    assert work.multiply_adds == {"float32": 8 * 8 * 3 * 10}
    assert work.roofline is not None
    alone = measured["onnx"].latencies[0].p50
    assert work.share == pytest.approx(work.roofline / alone)
    assert set(measured["onnx"].versions) == {"onnxruntime"}


def test_the_ones_that_break_do_not_stop_the_others(tiny: Path) -> None:
    file = tiny / "tiny.onnx"
    (tiny / "broken.onnx").write_bytes(b"\x08\x08broken")
    rows = run(
        [
            numpy_candidate("baseline", "SegfaultWhileLoading", file),
            numpy_candidate("aborts", "AbortWhileRunning", file, "good"),
            numpy_candidate("killed", "KilledWhileTimed", file, "good"),
            numpy_candidate("hungry", "EatsMemory", file, "good"),
            numpy_candidate("wide", "Wide", file, "good"),
            numpy_candidate("hangs", "HangWhileLoading", file, "good"),
            numpy_candidate("missing", "Missing", file, "good"),
            Candidate("broken", "onnxruntime", "onnx", path=str(tiny / "broken.onnx")),
            Candidate("gone", "onnxruntime", "onnx", path=str(tiny / "gone.onnx")),
            numpy_candidate("good", "NumpyRunner", file, "baseline"),
        ],
        timeout=8.0,
        launches=1,
    )
    failures = {name: row.failure for name, row in rows.items()}
    assert failures["baseline"] == "crashed: SIGSEGV while loading"
    assert failures["aborts"] == "crashed: SIGABRT while answering images"
    assert str(failures["killed"]).startswith("crashed: SIGKILL while warming up at batch 3")
    assert failures["hungry"] == "out of memory. (while loading)"
    assert "images of 16 pixels" in str(failures["wide"])
    assert failures["hangs"] == "hung: no answer within 8 s while loading"
    assert "broken.onnx cannot be used" in str(failures["broken"])
    assert "does not exist" in str(failures["gone"])
    assert (failures["missing"], failures["good"]) == (None, None)
    assert "a-package-that-nobody-has" in str(rows["missing"].skipped)
    good = rows["good"]
    assert len(good.latencies) == 2
    assert all(entry.ratio is None for entry in good.latencies)
    # What was known of it before it died is kept.
    assert rows["killed"].parity is not None
    assert not _workers()


def test_one_that_cannot_say_what_ran_is_measured_all_the_same(tiny: Path) -> None:
    row = run(
        [numpy_candidate("a", "DiesWhileTelling", tiny / "tiny.onnx")], batches=(1,), launches=1
    )["a"]
    assert row.failure is None
    assert len(row.latencies) == 1
    assert row.delegation is not None
    assert row.delegation.provider == "unknown"
    assert "SIGABRT while telling what ran" in row.delegation.note


def test_what_an_earlier_run_holds_is_not_measured_again(tiny: Path) -> None:
    file = tiny / "tiny.onnx"
    first = numpy_candidate("first", "NumpyRunner", file)
    second = numpy_candidate("second", "NumpyRunner", file, "first")
    before = run([first], batches=(1,), launches=1)
    failed = dataclasses.replace(Row(second), failure="crashed: SIGKILL while loading")
    seen: list[Row] = []
    after = run(
        [first, second],
        seen,
        done={**before, "second": failed},
        batches=(1,),
        launches=1,
    )
    assert after["first"] == before["first"]
    assert {row.candidate.name for row in seen} == {"second"}
    # The baseline ran along to be compared with.
    assert after["second"].latencies[0].ratio is not None
    again = run([first, second], seen := [], done=after, batches=(1,), launches=1)
    assert (again, seen) == (after, [])


def test_an_interrupt_keeps_the_rows_and_leaves_no_process(tiny: Path) -> None:
    kept: list[Row] = []

    def keep(row: Row) -> None:
        kept.append(row)
        if len(kept) == 2:
            raise KeyboardInterrupt

    candidates = [
        numpy_candidate(name, "NumpyRunner", tiny / "tiny.onnx") for name in ("a", "b", "c")
    ]
    with pytest.raises(KeyboardInterrupt):
        run_engine(
            candidates,
            Conditions(DATA, LABELS, REFERENCE, settings_of()),
            on_row=keep,
        )
    assert [row.candidate.name for row in kept] == ["a", "b"]
    assert all(row.parity is not None for row in kept)
    assert not _workers()


def test_an_interrupt_amid_the_rounds_leaves_no_process(tiny: Path) -> None:
    def interrupt(message: str, done: float, total: float) -> None:
        assert 0 <= done <= total
        if "round 2" in message:
            raise KeyboardInterrupt

    candidates = [numpy_candidate(name, "NumpyRunner", tiny / "tiny.onnx") for name in ("a", "b")]
    with pytest.raises(KeyboardInterrupt):
        run_engine(
            candidates,
            Conditions(DATA, LABELS, REFERENCE, settings_of()),
            progress=interrupt,
        )
    assert not _workers()


def test_images_of_other_classes_have_no_accuracy(tiny: Path) -> None:
    data = dataclasses.replace(DATA, class_names=tuple(f"other {name}" for name in LABELS))
    (row,) = run_engine(
        [numpy_candidate("a", "NumpyRunner", tiny / "tiny.onnx")],
        Conditions(data, LABELS, REFERENCE, settings_of(batches=(1,), launches=1)),
    )
    assert row.accuracy is None
    assert row.parity is not None


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ([Candidate("a", "x", "onnx"), Candidate("a", "y", "onnx")], "Several candidates"),
        ([Candidate("a", "x", "onnx", baseline="b")], "'b', which is not in the run"),
    ],
)
def test_candidates_that_do_not_fit_together_fail(
    candidates: list[Candidate], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(candidates)


def test_answers_of_other_images_fail() -> None:
    with pytest.raises(UsageError, match="7 images"):
        Conditions(DATA, LABELS, REFERENCE[:3], settings_of())


@pytest.mark.parametrize(
    "changes",
    [{"batches": ()}, {"threads": (0,)}, {"rounds": 0}, {"seconds": 0.0}, {"threads": (4096,)}],
)
def test_settings_out_of_range_fail(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        settings_of(**changes)


def _workers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "vitsd_export.measure.benchmark.worker" in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found
