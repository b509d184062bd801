"""Tests of worker processes, with runners that die in the ways that damaged artifacts make runtimes die."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.support.odd_runners import HERE
from tests.support.tiny_artifacts import IMAGES, reference_probabilities
from vitsd_export.measure.benchmark.worker_process import (
    RuntimeMissing,
    WorkerFailed,
    WorkerProcess,
)


def load(process: WorkerProcess, runner: str, path: object = "unused") -> dict[str, object]:
    process.prepare(f"{HERE}:{runner}", 1)
    return process.ask("loading", "load", path=str(path), batch_size=4)[0]


def test_a_worker_answers_as_its_runner_does() -> None:
    with WorkerProcess(60) as process:
        assert load(process, "NumpyRunner")["classes"] == 10
        _, answers = process.ask("answering", "answer", IMAGES)
    np.testing.assert_allclose(answers, reference_probabilities(IMAGES), atol=1e-6)


def test_a_worker_times_and_tells_its_memory() -> None:
    with WorkerProcess(60) as process:
        loaded = load(process, "NumpyRunner")
        process.ask("keeping", "keep", IMAGES)
        first, _ = process.ask("first", "first")
        warm, _ = process.ask("warming", "warm", batch=4, change=0.5, group=2, limit=1000.0)
        turn, _ = process.ask("timing", "turn", batch=4, lead=1, calls=3)
        memory, _ = process.ask("memory", "memory")
    assert first["first"] > 0
    assert warm["calls"] >= 2
    assert len(turn["milliseconds"]) == 3
    assert min(turn["milliseconds"]) > 0
    assert 0 < loaded["rss_before"] <= loaded["rss_load"] <= memory["rss"]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system binds no processes")
def test_a_worker_is_bound_to_as_many_cores_as_threads() -> None:
    with WorkerProcess(60) as process:
        process.prepare(f"{HERE}:NumpyRunner", 1)
        assert len(os.sched_getaffinity(process.pid)) == 1


def test_what_a_runtime_prints_is_no_answer() -> None:
    with WorkerProcess(60) as process:
        load(process, "Talks")
        _, answers = process.ask("answering", "answer", IMAGES)
    assert answers is not None
    assert answers.shape == (len(IMAGES), 10)


@pytest.mark.parametrize(
    ("runner", "reason"),
    [
        ("SegfaultWhileLoading", "crashed: SIGSEGV while loading"),
        (
            "RaisesWhileLoading",
            "crashed: exit code 1 while loading: ArithmeticError: the file is of the wrong kind",
        ),
        ("EatsMemory", "out of memory. (while loading)"),
    ],
)
def test_the_way_a_worker_dies_is_told(runner: str, reason: str) -> None:
    with WorkerProcess(60) as process, pytest.raises(WorkerFailed) as raised:
        load(process, runner)
    assert str(raised.value) == reason


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGBUS])
def test_a_worker_that_is_killed_from_outside_is_told_apart(number: signal.Signals) -> None:
    with WorkerProcess(60) as process:
        load(process, "NumpyRunner")
        os.kill(process.pid, number)
        with pytest.raises(WorkerFailed, match=f"crashed: {number.name} while answering"):
            process.ask("answering", "answer", IMAGES)


def test_a_worker_that_hangs_is_given_up() -> None:
    start = time.monotonic()
    with WorkerProcess(60) as process:
        process.prepare(f"{HERE}:HangWhileLoading", 1)
        process._timeout = 0.5
        with pytest.raises(WorkerFailed, match=r"hung: no answer within 0\.5 s while loading"):
            process.ask("loading", "load", path="unused", batch_size=1)
        assert not psutil.pid_exists(process.pid)
    assert time.monotonic() - start < 30


def test_an_artifact_that_its_runtime_refuses_is_told(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"\x08\x08not an ONNX file")
    with WorkerProcess(60) as process:
        process.prepare("onnxruntime", 1)
        with pytest.raises(WorkerFailed, match=r"damaged\.onnx cannot be used.*while loading"):
            process.ask("loading", "load", path=str(damaged), batch_size=1)


@pytest.mark.parametrize("runtime", [f"{HERE}:Missing", "no_such_module:Runner"])
def test_a_runtime_that_is_not_installed_is_told(runtime: str) -> None:
    with WorkerProcess(60) as process, pytest.raises(RuntimeMissing, match="cannot be imported"):
        process.prepare(runtime, 1)


def test_no_worker_outlives_an_error() -> None:
    process = WorkerProcess(60)

    def interrupted() -> None:
        with process:
            process.prepare(f"{HERE}:NumpyRunner", 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not psutil.pid_exists(process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems leave them to end by themselves")
def test_a_worker_that_hangs_ends_with_its_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, signal\n"
        "from vitsd_export.measure.benchmark.worker_process import WorkerProcess\n"
        "process = WorkerProcess(60)\n"
        f"process.prepare('{HERE}:HangWhileLoading', 1)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(process.pid))\n"
        "process._timeout = 0.2\n"
        "process.kill = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "process.ask('loading', 'load', path='unused', batch_size=1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry or "." for entry in sys.path)}
    parent = psutil.Popen([sys.executable, str(script)], env=environment)
    assert parent.wait(60) == -signal.SIGKILL
    worker = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not _runs(worker):
            return
        time.sleep(0.05)
    pytest.fail("the worker is still there")


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
