"""How long runners take, for benchmarks."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping

from vitsd_export.errors import UsageError

_NANOSECONDS_IN_A_MILLISECOND = 1e6


@dataclasses.dataclass(frozen=True)
class Latency:
    """Wall time of one call, in milliseconds.

    Attributes:
        p50: Median.
        best: Shortest.
    """

    p50: float
    best: float


def time_call(call: Callable[[], object]) -> float:
    """Returns the wall time of a call in milliseconds; every time of a benchmark is taken here."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / _NANOSECONDS_IN_A_MILLISECOND


def time_alternating(
    calls: Mapping[str, Callable[[], object]], rounds: int = 50, warmup: int = 5
) -> dict[str, Latency]:
    """Times several calls in turn, so that a drift of the machine's speed meets them all alike.

    Each round begins with another call, so that none always follows the same one.

    Args:
        calls: What to time, by name.
        rounds: How often each is timed, at least once.
        warmup: How often each is called before that.

    Raises:
        UsageError: If `rounds` or `warmup` is too small.
    """
    if rounds < 1 or warmup < 0:
        raise UsageError(
            f"rounds must be at least 1 and warmup at least 0; got {rounds} and {warmup}."
        )
    names = list(calls)
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(warmup):
        for name in names:
            calls[name]()
    for index in range(rounds):
        start_at = index % len(names) if names else 0
        for name in names[start_at:] + names[:start_at]:
            times[name].append(time_call(calls[name]))
    return {name: Latency(statistics.median(each), min(each)) for name, each in times.items()}
