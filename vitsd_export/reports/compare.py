"""Two runs beside each other: what got faster, slower, less accurate or larger, and what is gone.

Definitions, for a candidate of the same name in both runs:

- **Time** at a batch size and number of threads. Where both runs have a ratio to the same baseline, the
  ratios are compared: the baseline ran in the same minutes on the same machine, so that what differs between
  the machines, or between two days of one, falls out. Else the medians are compared, and the change says so;
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

import dataclasses
import itertools
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from vitsd_export.errors import InputError, UsageError
from vitsd_export.measure.benchmark.results import Interval, LatencyFigures, Results, Row
from vitsd_export.reports.table import Cell, Column, Table
from vitsd_export.reports.tables import Setting, build
from vitsd_export.reports.wording import (
    VERDICTS,
    count,
    data_size,
    milliseconds,
    percent,
    plain,
    setting_name,
)

# A tenth: two runs of the same files on a shared machine stay within it where each has a baseline.
DEFAULT_TOLERANCE = 0.1
# Percentage points. One image of 500 is 0.2.
DEFAULT_ACCURACY_TOLERANCE = 0.5
_NORMAL_95 = 1.959964
Verdict = Literal[
    "failing",
    "slower",
    "less",
    "larger",
    "same",
    "recovered",
    "faster",
    "more",
    "smaller",
    "vanished",
    "new",
    "skipped",
]
# The gravest first, as the table has them. What makes a run worse, then the rest.
_WORSE: dict[Verdict, str] = {
    "failing": "fails now",
    "slower": VERDICTS["slower"],
    "less": "less accurate",
    "larger": "larger",
}
_BETTER: dict[Verdict, str] = {
    "recovered": "works again",
    "faster": VERDICTS["faster"],
    "more": "more accurate",
    "smaller": "smaller",
}
_WORDS: dict[Verdict, str] = {
    **_WORSE,
    "same": VERDICTS["same"],
    **_BETTER,
    "vanished": "vanished",
    "new": "new",
    "skipped": "skipped now",
}


@dataclass(frozen=True)
class Change:
    """A figure or the state of a candidate, then and now.

    Attributes:
        candidate: Its name.
        is_ours: False for what another tool made, and for the Keras model: these do not count.
        figure: `ratio` to the baseline, `p50`, `top-1`, `top-5`, `agreement`, `size` or `state`.
        verdict: See the module.
        old: The figure then; None of a state.
        new: The figure now.
        change: new / old - 1 with its 95 % interval, of a time.
        setting: Threads and images a call, of a time.
        reason: Why it failed or was skipped.
    """

    candidate: str
    is_ours: bool
    figure: str
    verdict: Verdict
    old: float | None = None
    new: float | None = None
    change: Interval | None = None
    setting: Setting | None = None
    reason: str = ""

    @property
    def points(self) -> float:
        """The change of a share in percentage points."""
        # Shares of the same images: what is beyond their last digits is rounding.
        return round(100 * ((self.new or 0.0) - (self.old or 0.0)), 9)


@dataclass(frozen=True)
class Comparison:
    """What changed from an old run to a new one.

    Attributes:
        tolerance: Relative change of time and size that is let pass.
        accuracy_tolerance: Loss in percentage points that is let pass.
        changes: Everything that could be compared, also what stayed the same.
        notes: What could not be compared, and why.
    """

    tolerance: float
    accuracy_tolerance: float
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def regressed(self) -> bool:
        """Whether a candidate of ours is slower, less accurate, larger or newly failing."""
        return any(change.is_ours and change.verdict in _WORSE for change in self.changes)

    @property
    def conclusion(self) -> str:
        """In a sentence whether the new run is worse."""
        ours = [change for change in self.changes if change.is_ours]
        limits = (
            f"beyond {100 * self.tolerance:g} % of time or size, or "
            f"{self.accuracy_tolerance:g} points of accuracy"
        )
        if self.regressed:
            found = [
                f"{len(names)} {word}"
                for verdict, word in _WORSE.items()
                if (names := {each.candidate for each in ours if each.verdict == verdict})
            ]
            return f"Regressed {limits}: {', '.join(found)}."
        compared = {change.candidate for change in ours if change.figure != "state"}
        if not compared:
            return "Nothing of ours could be compared."
        return f"No regression {limits}, in {count(len(compared), 'candidate')} of ours."

    @property
    def unchanged(self) -> str:
        """In a sentence how much stayed within the tolerance; empty if nothing did."""
        same = sum(not self._is_notable(change) for change in self.changes)
        return f"Within the tolerance: {count(same, 'figure')}." if same else ""

    def table(self) -> Table | None:
        """Returns the table of what changed, the gravest first."""
        order = list(_WORDS)
        return build(
            "changes",
            "What changed",
            (
                (Column("candidate", is_number=False), _name),
                (Column("figure", is_number=False), _figure),
                (Column("old"), lambda change: _value(change, change.old)),
                (Column("new"), lambda change: _value(change, change.new)),
                (Column("change (95 % interval)"), _difference),
                (Column("it is", is_number=False), _verdict),
                (Column("reason", is_number=False), lambda change: Cell(plain(change.reason))),
            ),
            sorted(
                filter(self._is_notable, self.changes),
                key=lambda change: order.index(change.verdict),
            ),
        )

    def _is_notable(self, change: Change) -> bool:
        """Says whether a figure is shown: a large change of a time that may be chance is, too."""
        is_large = change.change is not None and abs(change.change.value) > self.tolerance
        return change.verdict != "same" or is_large


def _name(change: Change) -> Cell:
    return Cell(plain(change.candidate) + ("" if change.is_ours else " (not counted)"))


def _figure(change: Change) -> Cell:
    titles = {"ratio": "p50 ÷ baseline", "p50": "p50 alone"}
    where = f", {setting_name(*change.setting)}" if change.setting else ""
    return Cell(titles.get(change.figure, change.figure) + where)


def _value(change: Change, value: float | None) -> Cell:
    if value is None:
        return Cell("")
    ways = {"ratio": lambda ratio: f"{ratio:.3f}", "p50": milliseconds, "size": data_size}
    return Cell(ways.get(change.figure, percent)(value), value)


def _difference(change: Change) -> Cell:
    if change.old is None or change.new is None:
        return Cell("")
    if change.change is not None:
        value, low, high = (
            100 * share for share in (change.change.value, change.change.low, change.change.high)
        )
        return Cell(f"{value:+.1f} % ({low:+.1f}…{high:+.1f})", value)
    if change.figure == "size":
        relative = 100 * (change.new / change.old - 1) if change.old else math.inf
        return Cell(f"{relative:+.1f} %", relative)
    return Cell(f"{change.points:+.2f} points", change.points)


def _verdict(change: Change) -> Cell:
    kind = "bad" if change.verdict in _WORSE else "good" if change.verdict in _BETTER else ""
    return Cell(_WORDS[change.verdict], kind=kind)


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
        tolerance: Relative change of times and sizes that is accepted, 0.1 for a tenth.
        accuracy_tolerance: Loss of accuracy or agreement that is accepted, in percentage points.

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
        if name in before and row.state == before[name].state == "measured"
    ]
    same_machine, same_images = _is_same_machine(old, new), _has_same_images(old, new)
    times = [
        change
        for pair in pairs
        for change in _latency_changes(*pair, same_machine=same_machine, tolerance=tolerance)
    ]
    others = [
        change
        for pair in pairs
        for change in (
            *(_accuracy_changes(*pair, accuracy_tolerance) if same_images else ()),
            *_size_changes(*pair, tolerance),
        )
    ]
    in_both = sum(len(_settings(earlier).keys() & _settings(row).keys()) for earlier, row in pairs)
    return Comparison(
        tolerance,
        accuracy_tolerance,
        (*_state_changes(before, after), *times, *others),
        tuple(
            _notes(
                old,
                new,
                in_both - len(times),
                same_machine=same_machine,
                same_images=same_images,
            )
        ),
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
) -> Iterator[Change]:
    before = _settings(earlier)
    for setting, figures in _settings(row).items():
        if setting not in before:
            continue
        found = _comparable(earlier, row, before[setting], figures, same_machine)
        if found is None:
            continue
        figure, old, new = found
        change = relative_change(old, new)
        verdict: Verdict = "same"
        if change.value > tolerance and change.low > 0:
            verdict = "slower"
        elif change.value < 1 / (1 + tolerance) - 1 and change.high < 0:
            verdict = "faster"
        yield Change(
            row.candidate.name,
            _is_ours(row),
            figure,
            verdict,
            old.value,
            new.value,
            change,
            setting,
        )


def _comparable(
    earlier: Row, row: Row, old: LatencyFigures, new: LatencyFigures, same_machine: bool
) -> tuple[Literal["ratio", "p50"], Interval, Interval] | None:
    """Returns the two figures to compare, and what they are; None if nothing fair is left."""
    same_baseline = earlier.candidate.baseline == row.candidate.baseline
    if old.ratio is not None and new.ratio is not None and same_baseline:
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


def _accuracy_changes(earlier: Row, row: Row, tolerance: float) -> Iterator[Change]:
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
        change = Change(row.candidate.name, _is_ours(row), name, "same", old, new)
        verdict: Verdict = "same"
        if change.points < -tolerance:
            verdict = "less"
        elif change.points > tolerance:
            verdict = "more"
        yield dataclasses.replace(change, verdict=verdict)


def _size_changes(earlier: Row, row: Row, tolerance: float) -> Iterator[Change]:
    if earlier.size is None or row.size is None:
        return
    old, new = earlier.size.bytes, row.size.bytes
    verdict: Verdict = "same"
    if new > old * (1 + tolerance):
        verdict = "larger"
    elif new < old / (1 + tolerance):
        verdict = "smaller"
    yield Change(row.candidate.name, _is_ours(row), "size", verdict, old, new)


def _state_changes(before: dict[str, Row], after: dict[str, Row]) -> Iterator[Change]:
    def change(row: Row, verdict: Verdict) -> Change:
        reason = row.failure or row.skipped or ""
        return Change(row.candidate.name, _is_ours(row), "state", verdict, reason=reason)

    for name, row in before.items():
        if name not in after and row.state == "measured":
            yield change(row, "vanished")
    for name, row in after.items():
        now, then = row.state, before[name].state if name in before else None
        if then is None:
            yield change(row, "new")
        elif now == "failed" and then != "failed":
            # One that was skipped has never been seen to work.
            yield change(row, "failing" if then == "measured" else "new")
        elif now == "measured" and then != "measured":
            yield change(row, "recovered" if then == "failed" else "new")
        elif now == "skipped" and then == "measured":
            yield change(row, "skipped")


def _notes(
    old: Results, new: Results, left_out: int, *, same_machine: bool, same_images: bool
) -> Iterator[str]:
    if not same_machine:
        yield (
            f"The machines differ (then {old.machine.processor}, {old.machine.cores} cores; now "
            f"{new.machine.processor}, {new.machine.cores} cores): only ratios to a baseline of the same "
            "run are compared."
        )
    if left_out:
        yield (
            f"{left_out} of the times in both runs could not be compared: no ratio to the same baseline in "
            "both, and milliseconds of another machine, or none above zero."
        )
    if not same_images:
        yield "The images differ: accuracy and agreement are not compared."
    if old.model.get("sha256") != new.model.get("sha256"):
        yield "The model's weights differ: accuracy tells of the training, too."
    for name, results in (("old", old), ("new", new)):
        if results.finished is None:
            yield f"The {name} run was broken off: not all of it was measured."


def _settings(row: Row) -> dict[Setting, LatencyFigures]:
    return {(figures.threads, figures.batch): figures for figures in row.latencies}


def _is_ours(row: Row) -> bool:
    """Says whether a row counts: the Keras model itself is what ours are compared with."""
    return row.candidate.origin == "ours" and not row.candidate.is_keras


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
