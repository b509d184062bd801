"""Two runs beside each other: what got faster, slower, less accurate or larger, and what is gone.

Definitions, for a candidate of the same name in both runs:

- **Time** at a batch size and number of threads. Where both runs have a ratio to the same peer, the ratios
  are compared: the peer ran in the same minutes on the same machine, so that what differs between the
  machines, or between two days of one, falls out. Else the medians are compared, and the change says so;
  those of different machines (another processor, other instruction sets or number of cores) are not
  compared at all. The change is new / old - 1. It is `slower` if it is above the tolerance t and its 95 %
  interval lies above 0; `faster` if it is below 1 / (1 + t) - 1 and its interval lies below 0; else
  `same`. Intervals come from those of the two figures on a logarithmic scale by the method of variance
  estimates recovery (Zou and Donner, 2008, doi:10.1002/sim.3095); a median's own from the order statistics
  of its samples, and no narrower than the medians of the processes that the samples are from lie apart.
- **Accuracy**: top-1, top-5 and agreement with the reference, in percentage points, on the same number of
  images of the same source and split; others are not compared. `less` beyond the tolerance in points.
- **Size** on disk, `larger` or `smaller` beyond the tolerance t.
- **Failure**: measured in the old run and failed in the new one, or the reverse.

A run has regressed if a candidate of ours is slower, less accurate, larger, or newly failing. What other
tools made, and the Keras model itself, are shown and not counted; so is what vanished or was skipped,
because a run may be asked for less.
"""

import itertools
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from vitsd_export.errors import InputError, UsageError
from vitsd_export.measure.benchmark.results import Interval, LatencyFigures, Results, Row
from vitsd_export.reports.wording import plain, state

# A tenth: two runs of the same files on a shared machine stay within it where each has a peer.
DEFAULT_TOLERANCE = 0.1
# Percentage points. One image of 500 is 0.2.
DEFAULT_ACCURACY_TOLERANCE = 0.5
_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class LatencyChange:
    """A candidate's time at one setting, then and now.

    Attributes:
        candidate: Its name.
        is_ours: False for what another tool made, and for the Keras model.
        threads: Threads of the runtime.
        batch: Images in a call.
        basis: `ratio` to the peer in the same run, or `p50` in milliseconds.
        old: The figure then.
        new: The figure now.
        change: new / old - 1, with its 95 % interval.
        verdict: See the module.
    """

    candidate: str
    is_ours: bool
    threads: int
    batch: int
    basis: Literal["ratio", "p50"]
    old: float
    new: float
    change: Interval
    verdict: Literal["faster", "slower", "same"]


@dataclass(frozen=True)
class AccuracyChange:
    """A candidate's accuracy or agreement, then and now, as shares.

    Attributes:
        candidate: Its name.
        is_ours: False for what another tool made.
        figure: `top-1`, `top-5` or `agreement`.
        old: The share then.
        new: The share now.
        verdict: `more` or `less` beyond the tolerance, else `same`.
    """

    candidate: str
    is_ours: bool
    figure: str
    old: float
    new: float
    verdict: Literal["more", "less", "same"]

    @property
    def points(self) -> float:
        """The change in percentage points."""
        return 100 * (self.new - self.old)


@dataclass(frozen=True)
class SizeChange:
    """A candidate's bytes on disk, then and now."""

    candidate: str
    is_ours: bool
    old: int
    new: int
    verdict: Literal["larger", "smaller", "same"]


@dataclass(frozen=True)
class StateChange:
    """A candidate that is in one run alone, or that was measured in one alone.

    Attributes:
        candidate: Its name.
        is_ours: False for what another tool made.
        what: `vanished` and `new`; `failing` and `recovered`; `skipped`, measured before.
        reason: Why it failed or was skipped.
    """

    candidate: str
    is_ours: bool
    what: Literal["vanished", "new", "failing", "recovered", "skipped"]
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """What changed from an old run to a new one.

    Attributes:
        tolerance: Relative change of time and size that is let pass.
        accuracy_tolerance: Loss in percentage points that is let pass.
        latencies: Every time that could be compared.
        accuracies: Every accuracy that could be compared.
        sizes: Every size that could be compared.
        states: What is in one run alone.
        notes: What could not be compared, and why.
    """

    tolerance: float
    accuracy_tolerance: float
    latencies: tuple[LatencyChange, ...]
    accuracies: tuple[AccuracyChange, ...]
    sizes: tuple[SizeChange, ...]
    states: tuple[StateChange, ...]
    notes: tuple[str, ...]

    @property
    def slower(self) -> tuple[LatencyChange, ...]:
        return tuple(change for change in self.latencies if change.verdict == "slower")

    @property
    def faster(self) -> tuple[LatencyChange, ...]:
        return tuple(change for change in self.latencies if change.verdict == "faster")

    @property
    def less_accurate(self) -> tuple[AccuracyChange, ...]:
        return tuple(change for change in self.accuracies if change.verdict == "less")

    @property
    def more_accurate(self) -> tuple[AccuracyChange, ...]:
        return tuple(change for change in self.accuracies if change.verdict == "more")

    @property
    def larger(self) -> tuple[SizeChange, ...]:
        return tuple(change for change in self.sizes if change.verdict == "larger")

    @property
    def newly_failing(self) -> tuple[StateChange, ...]:
        return tuple(change for change in self.states if change.what == "failing")

    @property
    def regressed(self) -> bool:
        """Whether a candidate of ours is slower, less accurate, larger or newly failing."""
        groups = (self.slower, self.less_accurate, self.larger, self.newly_failing)
        return any(change.is_ours for group in groups for change in group)


def compare_results(
    old: Results,
    new: Results,
    tolerance: float = DEFAULT_TOLERANCE,
    accuracy_tolerance: float = DEFAULT_ACCURACY_TOLERANCE,
) -> Comparison:
    """Compares two runs of one model; the module says how.

    Args:
        old: The run to compare with.
        new: The run in question.
        tolerance: Relative change of times and sizes that is let pass, 0.1 for a tenth.
        accuracy_tolerance: Loss of accuracy or agreement that is let pass, in percentage points.

    Raises:
        UsageError: If a tolerance is negative or not finite.
        InputError: If the runs are of models with different names.
    """
    for name, value in (("tolerance", tolerance), ("accuracy tolerance", accuracy_tolerance)):
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"The {name} must be a number of at least 0, not {value}.")
    then, now = old.model.get("name"), new.model.get("name")
    if then != now:
        raise InputError(
            f"The old run is of the model {plain(then)}, the new one of {plain(now)}; their figures "
            "say nothing about each other. Compare with a run of the same model."
        )
    before = {row.candidate.name: row for row in old.rows}
    after = {row.candidate.name: row for row in new.rows}
    pairs = [
        (before[name], row)
        for name, row in after.items()
        if name in before and state(row) == state(before[name]) == "measured"
    ]
    same_machine, same_images = _is_same_machine(old, new), _has_same_images(old, new)
    latencies = [
        change
        for pair in pairs
        for change in _latency_changes(*pair, same_machine=same_machine, tolerance=tolerance)
    ]
    compared = {(change.candidate, change.threads, change.batch) for change in latencies}
    accuracies = [
        change
        for pair in pairs
        if same_images
        for change in _accuracy_changes(*pair, accuracy_tolerance)
    ]
    sizes = [change for pair in pairs for change in _size_changes(*pair, tolerance)]
    left_out = sum(
        (row.candidate.name, *setting) not in compared
        for earlier, row in pairs
        for setting in _settings(earlier).keys() & _settings(row).keys()
    )
    return Comparison(
        tolerance,
        accuracy_tolerance,
        tuple(latencies),
        tuple(accuracies),
        tuple(sizes),
        tuple(_state_changes(before, after)),
        tuple(_notes(old, new, left_out, same_machine=same_machine, same_images=same_images)),
    )


def median_interval(samples: tuple[float, ...], median: float, launches: int = 1) -> Interval:
    """Returns a median with its 95 % interval from order statistics, which no distribution underlies.

    The ranks are those of the binomial distribution in its normal approximation; below six samples, which
    cannot give 95 %, the interval is that from the least to the largest.

    Args:
        samples: In sequence, each process's share after the other.
        median: As it was reported.
        launches: Processes that the samples come from. Memory lies elsewhere in each, so that two may
            differ by more than their calls do: the interval holds the median of every one.
    """
    if not samples:
        return Interval(median, median, median)
    ordered, number = sorted(samples), len(samples)
    half = _NORMAL_95 * math.sqrt(number) / 2
    low = max(math.floor(number / 2 - half), 1) - 1
    high = min(math.ceil(number / 2 + half) + 1, number) - 1
    # The median by another definition than ours must not lie outside its own interval.
    inside = [median]
    if 1 < launches <= number:
        bounds = [place * number // launches for place in range(launches + 1)]
        inside += [statistics.median(samples[a:b]) for a, b in itertools.pairwise(bounds)]
    return Interval(median, min(ordered[low], *inside), max(ordered[high], *inside))


def relative_change(old: Interval, new: Interval) -> Interval:
    """Returns new / old - 1 with its 95 % interval; all figures must be positive."""
    change = math.log(new.value / old.value)
    # A bound of zero is as far as can be.
    new_low, new_high = _log_distance(new.low, new.value), _log_distance(new.value, new.high)
    old_low, old_high = _log_distance(old.low, old.value), _log_distance(old.value, old.high)
    low = change - math.hypot(new_low, old_high)
    high = change + math.hypot(new_high, old_low)
    return Interval(math.expm1(change), math.expm1(low), math.expm1(high))


def _log_distance(low: float, high: float) -> float:
    if low <= 0:
        return math.inf
    return max(math.log(high / low), 0.0)


def _latency_changes(
    earlier: Row, row: Row, *, same_machine: bool, tolerance: float
) -> Iterator[LatencyChange]:
    before = _settings(earlier)
    for setting, figures in _settings(row).items():
        if setting not in before:
            continue
        found = _comparable(earlier, row, before[setting], figures, same_machine)
        if found is None:
            continue
        basis, old, new = found
        change = relative_change(old, new)
        verdict: Literal["faster", "slower", "same"] = "same"
        if change.value > tolerance and change.low > 0:
            verdict = "slower"
        elif change.value < 1 / (1 + tolerance) - 1 and change.high < 0:
            verdict = "faster"
        yield LatencyChange(
            row.candidate.name,
            _is_ours(row),
            figures.threads,
            figures.batch,
            basis,
            old.value,
            new.value,
            change,
            verdict,
        )


def _comparable(
    earlier: Row, row: Row, old: LatencyFigures, new: LatencyFigures, same_machine: bool
) -> tuple[Literal["ratio", "p50"], Interval, Interval] | None:
    """Returns the two figures to compare, and what they are; None if nothing fair is left."""
    same_peer = earlier.candidate.peer == row.candidate.peer
    if old.ratio is not None and new.ratio is not None and same_peer:
        if old.ratio.value <= 0 or new.ratio.value <= 0:
            return None
        return "ratio", old.ratio, new.ratio
    if not same_machine or old.p50 <= 0 or new.p50 <= 0:
        return None
    return (
        "p50",
        median_interval(old.samples, old.p50, old.launches),
        median_interval(new.samples, new.p50, new.launches),
    )


def _accuracy_changes(earlier: Row, row: Row, tolerance: float) -> Iterator[AccuracyChange]:
    then, now = earlier.accuracy, row.accuracy
    figures: list[tuple[str, float | None, float | None]] = []
    if then is not None and now is not None and then.images == now.images:
        figures.append(("top-1", then.top1.value, now.top1.value))
        figures.append(
            ("top-5", then.top5.value if then.top5 else None, now.top5.value if now.top5 else None)
        )
    before, after = earlier.parity, row.parity
    if before is not None and after is not None and before.images == after.images:
        figures.append(("agreement", before.top1_agreement, after.top1_agreement))
    for name, old, new in figures:
        if old is None or new is None:
            continue
        # Shares of the same images: what is beyond their last digits is rounding.
        points = round(100 * (new - old), 9)
        verdict: Literal["more", "less", "same"] = "same"
        if points < -tolerance:
            verdict = "less"
        elif points > tolerance:
            verdict = "more"
        yield AccuracyChange(row.candidate.name, _is_ours(row), name, old, new, verdict)


def _size_changes(earlier: Row, row: Row, tolerance: float) -> Iterator[SizeChange]:
    if earlier.size is None or row.size is None:
        return
    old, new = earlier.size.bytes, row.size.bytes
    verdict: Literal["larger", "smaller", "same"] = "same"
    if new > old * (1 + tolerance):
        verdict = "larger"
    elif new < old / (1 + tolerance):
        verdict = "smaller"
    yield SizeChange(row.candidate.name, _is_ours(row), old, new, verdict)


def _state_changes(before: dict[str, Row], after: dict[str, Row]) -> Iterator[StateChange]:
    for name, row in before.items():
        if name not in after and state(row) == "measured":
            yield StateChange(name, _is_ours(row), "vanished")
    for name, row in after.items():
        is_ours, now = _is_ours(row), state(row)
        reason = row.failure or row.skipped or ""
        if name not in before:
            yield StateChange(name, is_ours, "new", reason)
            continue
        then = state(before[name])
        if now == "failed" and then != "failed":
            # One that was skipped has never been seen to work.
            yield StateChange(name, is_ours, "failing" if then == "measured" else "new", reason)
        elif now == "measured" and then != "measured":
            yield StateChange(name, is_ours, "recovered" if then == "failed" else "new")
        elif now == "skipped" and then == "measured":
            yield StateChange(name, is_ours, "skipped", reason)


def _notes(
    old: Results, new: Results, left_out: int, *, same_machine: bool, same_images: bool
) -> Iterator[str]:
    if not same_machine:
        yield (
            f"The machines differ (then {old.machine.processor}, {old.machine.cores} cores; now "
            f"{new.machine.processor}, {new.machine.cores} cores): only ratios to a peer of the same "
            "run are compared."
        )
    if left_out:
        yield (
            f"{left_out} of the times in both runs could not be compared: no ratio to the same peer in "
            "both, and milliseconds of another machine, or none above zero."
        )
    if not same_images:
        yield "The images differ: accuracy and agreement are not compared."
    if old.model.get("sha256") != new.model.get("sha256"):
        yield "The model's weights differ: accuracy tells of the training, too."
    for name, results in (("old", old), ("new", new)):
        if results.finished is None:
            yield f"The {name} run was broken off: not all of it was measured."


def _settings(row: Row) -> dict[tuple[int, int], LatencyFigures]:
    return {(figures.threads, figures.batch): figures for figures in row.latencies}


def _is_ours(row: Row) -> bool:
    """Says whether a row counts: the Keras model itself is what ours are compared with."""
    return row.candidate.origin == "ours" and row.candidate.format != "keras"


def _is_same_machine(old: Results, new: Results) -> bool:
    then, now = old.machine, new.machine
    return (then.processor, set(then.features), then.cores) == (
        now.processor,
        set(now.features),
        now.cores,
    )


def _has_same_images(old: Results, new: Results) -> bool:
    return all(
        old.data.get(key) == new.data.get(key)
        for key in sorted({*old.data, *new.data} & {"source", "split", "images"})
    )
