"""Calling something until its times are steady."""

import dataclasses
import statistics
from collections.abc import Callable

# Calls that are made even beyond the time limit.
_FEW = 2


@dataclasses.dataclass(frozen=True)
class WarmUp:
    """How a warm-up went.

    Attributes:
        calls: Calls made.
        median: Median time of the last group of calls.
        steady: Whether the times were steady at the end.
    """

    calls: int
    median: float
    steady: bool


def warm_up(timed_call: Callable[[], float], *, change: float, group: int, limit: float) -> WarmUp:
    """Calls until the medians of two groups of calls in sequence are close.

    The first call, which may compile, is in no group.

    Args:
        timed_call: Makes a call and returns the time it took.
        change: How close, as a share of the later median.
        group: Calls in a group.
        limit: Time after which it ends in any case, in the unit of the calls' times.
    """
    spent = last = timed_call()
    calls = 1
    before: float | None = None
    while True:
        times: list[float] = []
        while len(times) < group:
            if spent >= limit and calls >= _FEW:
                return WarmUp(calls, statistics.median(times) if times else before or last, False)
            last = timed_call()
            times.append(last)
            spent += last
            calls += 1
        median = statistics.median(times)
        if before is not None and abs(before - median) <= change * median:
            return WarmUp(calls, median, True)
        before = median
