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

import math
from collections.abc import Iterator
from dataclasses import dataclass

from vitsd_export.errors import InputError, UsageError
from vitsd_export.measure.benchmark.ratio import median_interval, relative_change
from vitsd_export.measure.benchmark.results import Interval, LatencyFigures, Results, Row
from vitsd_export.reports.table import Cell, Column, Table, build
from vitsd_export.reports.tables import Setting
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
# The verdicts and how they read. What makes a run worse comes first in the table, then the rest.
_WORSE = {
    "failing": "fails now",
    "slower": VERDICTS["slower"],
    "less": "less accurate",
    "larger": "larger",
}
_BETTER = {
    "recovered": "works again",
    "faster": VERDICTS["faster"],
    "more": "more accurate",
    "smaller": "smaller",
}
_WORDS = {
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
        row: The candidate, in the new run if it is there.
        figure: `ratio` to the baseline, `p50`, `top-1`, `top-5`, `agreement`, `size` or `state`.
        verdict: See the module.
        old: The figure then; None of a state.
        new: The figure now.
        change: new / old - 1 with its 95 % interval, of a time.
        setting: Threads and images a call, of a time.
    """

    row: Row
    figure: str
    verdict: str
    old: float | None = None
    new: float | None = None
    change: Interval | None = None
    setting: Setting | None = None

    @property
    def is_ours(self) -> bool:
        """False for what another tool made, and for the Keras model: these do not count."""
        candidate = self.row.candidate
        return candidate.origin == "ours" and not candidate.is_keras


@dataclass(frozen=True)
class Comparison:
    """What changed from an old run to a new one.

    Attributes:
        tolerance: Relative change of time and size that is accepted.
        accuracy_tolerance: Loss in percentage points that is accepted.
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
                if (names := {each.row.candidate.name for each in ours if each.verdict == verdict})
            ]
            return f"Regressed {limits}: {', '.join(found)}."
        compared = {change.row.candidate.name for change in ours if change.figure != "state"}
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
                (Column("reason", is_number=False), _reason),
            ),
            sorted(
                filter(self._is_notable, self.changes),
                key=lambda change: order.index(change.verdict),
            ),
        )

    def _is_notable(self, change: Change) -> bool:
        """Returns whether a figure is shown: a large change of a time that may be chance is, too."""
        is_large = change.change is not None and abs(change.change.value) > self.tolerance
        return change.verdict != "same" or is_large


def _name(change: Change) -> Cell:
    return Cell(plain(change.row.candidate.name) + ("" if change.is_ours else " (not counted)"))


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
        figures = (change.change.value, change.change.low, change.change.high)
        value, low, high = (100 * share for share in figures)
        return Cell(f"{value:+.1f} % ({low:+.1f}…{high:+.1f})", value)
    if change.figure == "size":
        relative = 100 * _relative(change.old, change.new)
        return Cell(f"{relative:+.1f} %", relative)
    points = _points(change.old, change.new)
    return Cell(f"{points:+.2f} points", points)


def _verdict(change: Change) -> Cell:
    kind = "bad" if change.verdict in _WORSE else "good" if change.verdict in _BETTER else ""
    return Cell(_WORDS[change.verdict], kind=kind)


def _reason(change: Change) -> Cell:
    is_state = change.figure == "state"
    return Cell(plain(change.row.failure or change.row.skipped or "") if is_state else "")


def _relative(old: float, new: float) -> float:
    return new / old - 1 if old else math.inf


def _points(old: float, new: float) -> float:
    # Shares of the same images: what is beyond their last digits is rounding.
    return round(100 * (new - old), 9)


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
    times: list[Change] = []
    others: list[Change] = []
    in_both = 0
    for earlier, row in pairs:
        in_both += len(_settings(earlier).keys() & _settings(row).keys())
        times += _latency_changes(earlier, row, same_machine, tolerance)
        if same_images:
            others += _accuracy_changes(earlier, row, accuracy_tolerance)
        others += _size_changes(earlier, row, tolerance)
    notes = _notes(old, new, in_both - len(times), same_machine, same_images)
    changes = (*_state_changes(before, after), *times, *others)
    return Comparison(tolerance, accuracy_tolerance, changes, tuple(notes))


def _latency_changes(
    earlier: Row, row: Row, same_machine: bool, tolerance: float
) -> Iterator[Change]:
    before = _settings(earlier)
    same_baseline = earlier.candidate.baseline == row.candidate.baseline
    for setting, now in _settings(row).items():
        then = before.get(setting)
        if then is None:
            continue
        if then.ratio is not None and now.ratio is not None and same_baseline:
            figure, old, new = "ratio", then.ratio, now.ratio
        elif same_machine:
            figure = "p50"
            old, new = (median_interval(one.samples, one.p50, one.launches) for one in (then, now))
        else:
            continue
        if old.value <= 0 or new.value <= 0:
            continue
        change = relative_change(old, new)
        verdict = "same"
        if change.value > tolerance and change.low > 0:
            verdict = "slower"
        elif change.value < 1 / (1 + tolerance) - 1 and change.high < 0:
            verdict = "faster"
        yield Change(row, figure, verdict, old.value, new.value, change, setting)


def _accuracy_changes(earlier: Row, row: Row, tolerance: float) -> Iterator[Change]:
    then, now = earlier.accuracy, row.accuracy
    figures: list[tuple[str, float, float]] = []
    if then is not None and now is not None and then.images == now.images:
        figures.append(("top-1", then.top1.value, now.top1.value))
        if then.top5 is not None and now.top5 is not None:
            figures.append(("top-5", then.top5.value, now.top5.value))
    before, after = earlier.parity, row.parity
    if before is not None and after is not None and before.images == after.images:
        figures.append(("agreement", before.top1_agreement, after.top1_agreement))
    for name, old, new in figures:
        points = _points(old, new)
        verdict = "less" if points < -tolerance else "more" if points > tolerance else "same"
        yield Change(row, name, verdict, old, new)


def _size_changes(earlier: Row, row: Row, tolerance: float) -> Iterator[Change]:
    if earlier.size is None or row.size is None:
        return
    old, new = earlier.size.bytes, row.size.bytes
    verdict = "same"
    if new > old * (1 + tolerance):
        verdict = "larger"
    elif new < old / (1 + tolerance):
        verdict = "smaller"
    yield Change(row, "size", verdict, old, new)


def _state_changes(before: dict[str, Row], after: dict[str, Row]) -> Iterator[Change]:
    for name, row in before.items():
        if name not in after and row.state == "measured":
            yield Change(row, "state", "vanished")
    for name, row in after.items():
        now, then = row.state, before[name].state if name in before else None
        if then is None:
            yield Change(row, "state", "new")
        elif now == "failed" and then != "failed":
            # One that was skipped has never been seen to work.
            yield Change(row, "state", "failing" if then == "measured" else "new")
        elif now == "measured" and then != "measured":
            yield Change(row, "state", "recovered" if then == "failed" else "new")
        elif now == "skipped" and then == "measured":
            yield Change(row, "state", "skipped")


def _notes(
    old: Results, new: Results, left_out: int, same_machine: bool, same_images: bool
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
        yield "The model's weights differ: changes of accuracy may come from the training."
    for name, results in (("old", old), ("new", new)):
        if results.finished is None:
            yield f"The {name} run was broken off: not all of it was measured."


def _settings(row: Row) -> dict[Setting, LatencyFigures]:
    return {(figures.threads, figures.batch): figures for figures in row.latencies}


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
