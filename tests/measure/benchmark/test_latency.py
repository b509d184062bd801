"""Tests of timing, on a clock of the test's own."""

import time
from typing import Any

import numpy as np
import pytest

from vitsd_export.errors import UsageError
from vitsd_export.measure.benchmark.latency import Latency, time_alternating


class Clock:
    """A clock that only calls put forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0
        monkeypatch.setattr(time, "perf_counter_ns", lambda: self.now)

    def wait(self, milliseconds: float) -> None:
        self.now += int(milliseconds * 1e6)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock in place of the machine's."""
    return Clock(monkeypatch)


def test_a_call_is_timed_after_its_warm_up(clock: Clock) -> None:
    class Slow:
        name = "slow 1.0"

        def __init__(self) -> None:
            # Two slow calls to warm up, then 1 to 11 ms.
            self.durations = iter([500, 500, *range(1, 12)])
            self.seen: list[Any] = []

        def run(self, images: np.ndarray) -> None:
            self.seen.append(images)
            clock.wait(next(self.durations))

    runner, images = Slow(), np.zeros((1, 8, 8, 3), np.uint8)
    calls = {"slow": lambda: runner.run(images)}
    latency = time_alternating(calls, rounds=11, warmup=2)["slow"]
    assert latency == Latency(p50=6.0, best=1.0)
    assert all(seen is images for seen in runner.seen)


def test_alternating_calls_take_turns_at_being_first(clock: Clock) -> None:
    order: list[str] = []

    def call(name: str, milliseconds: float) -> Any:
        def run() -> None:
            order.append(name)
            clock.wait(milliseconds)

        return run

    calls = {"a": call("a", 1), "b": call("b", 2.5), "c": call("c", 4)}
    latencies = time_alternating(calls, rounds=4, warmup=1)
    assert "".join(order) == "abc" + "abc" + "bca" + "cab" + "abc"
    assert latencies == {
        "a": Latency(1, 1),
        "b": Latency(2.5, 2.5),
        "c": Latency(4, 4),
    }


@pytest.mark.parametrize(("rounds", "warmup"), [(0, 0), (1, -1)])
def test_impossible_rounds_are_refused(rounds: int, warmup: int) -> None:
    with pytest.raises(UsageError, match="rounds must be"):
        time_alternating({"a": lambda: None}, rounds, warmup)
