"""The tables of a comparison of two runs."""

from vitsd_export.measure.benchmark.results import Interval
from vitsd_export.reports.compare import Comparison, LatencyChange
from vitsd_export.reports.table import Cell, Column, Table
from vitsd_export.reports.wording import VERDICTS, count, data_size, milliseconds, percent, plain

_CANDIDATE = Column("candidate", is_number=False)
_KINDS = {"slower": "bad", "less": "bad", "larger": "bad", "failing": "bad"} | dict.fromkeys(
    ("faster", "more", "smaller", "recovered"), "good"
)
_WORDS: dict[str, str] = {
    **{str(verdict): word for verdict, word in VERDICTS.items()},
    "more": "more accurate",
    "less": "less accurate",
    "larger": "larger",
    "smaller": "smaller",
    "failing": "fails now",
    "recovered": "works again",
    "vanished": "vanished",
    "new": "new",
    "skipped": "skipped now",
}


def conclusion(comparison: Comparison) -> str:
    """Returns in a sentence whether the new run is worse."""
    found = [
        f"{len({change.candidate for change in changes if change.is_ours})} {word}"
        for word, changes in (
            ("slower", comparison.slower),
            ("less accurate", comparison.less_accurate),
            ("larger", comparison.larger),
            ("newly failing", comparison.newly_failing),
        )
        if any(change.is_ours for change in changes)
    ]
    limits = (
        f"beyond {100 * comparison.tolerance:g} % of time or size, or "
        f"{comparison.accuracy_tolerance:g} points of accuracy"
    )
    if found:
        return f"Regressed {limits}: {', '.join(found)}."
    compared = {
        change.candidate
        for changes in (comparison.latencies, comparison.accuracies, comparison.sizes)
        for change in changes
        if change.is_ours
    }
    if not compared:
        return "Nothing of ours could be compared."
    return f"No regression {limits}, in {count(len(compared), 'candidate')} of ours."


def unchanged(comparison: Comparison) -> str:
    """Returns in a sentence how much stayed within the tolerance; empty if nothing did."""
    groups = (
        (
            "time",
            [change for change in comparison.latencies if not _is_notable(change, comparison)],
        ),
        ("share", [change for change in comparison.accuracies if change.verdict == "same"]),
        ("size", [change for change in comparison.sizes if change.verdict == "same"]),
    )
    parts = [count(len(changes), name) for name, changes in groups if changes]
    return f"Within the tolerance: {', '.join(parts)}." if parts else ""


def comparison_tables(comparison: Comparison) -> list[Table]:
    """Returns the tables of what changed, the gravest first in each."""
    found = [
        _states(comparison),
        _latencies(comparison),
        _accuracies(comparison),
        _sizes(comparison),
    ]
    return [table for table in found if table.rows]


def _is_notable(change: LatencyChange, comparison: Comparison) -> bool:
    """Says whether a time is shown: a large change that may be chance is, too."""
    return change.verdict != "same" or abs(change.change.value) > comparison.tolerance


def _states(comparison: Comparison) -> Table:
    rows = [
        (_name(change.candidate, change.is_ours), _verdict(change.what), Cell(plain(change.reason)))
        for change in comparison.states
    ]
    columns = (_CANDIDATE, Column("what", is_number=False), Column("reason", is_number=False))
    return Table("states", "Came and went", columns, tuple(rows))


def _latencies(comparison: Comparison) -> Table:
    order = {"slower": 0, "faster": 1, "same": 2}
    rows = [
        (
            _name(change.candidate, change.is_ours),
            Cell(str(change.threads), change.threads),
            Cell(str(change.batch), change.batch),
            Cell("ratio to peer" if change.basis == "ratio" else "p50 alone"),
            _time(change, change.old),
            _time(change, change.new),
            Cell(_signed(change.change), change.change.value),
            _verdict(change.verdict),
        )
        for change in sorted(comparison.latencies, key=lambda change: order[change.verdict])
        if _is_notable(change, comparison)
    ]
    columns = (
        _CANDIDATE,
        Column("threads"),
        Column("batch"),
        Column("compared", is_number=False),
        Column("old"),
        Column("new"),
        Column("change (95 % interval)"),
        Column("it is", is_number=False),
    )
    return Table("latencies", "Latency", columns, tuple(rows))


def _accuracies(comparison: Comparison) -> Table:
    rows = [
        (
            _name(change.candidate, change.is_ours),
            Cell(change.figure),
            Cell(percent(change.old), change.old),
            Cell(percent(change.new), change.new),
            Cell(f"{change.points:+.2f}", change.points),
            _verdict(change.verdict),
        )
        for change in sorted(comparison.accuracies, key=lambda change: change.points)
        if change.verdict != "same"
    ]
    columns = (
        _CANDIDATE,
        Column("figure", is_number=False),
        Column("old"),
        Column("new"),
        Column("points"),
        Column("it is", is_number=False),
    )
    return Table("accuracies", "Accuracy", columns, tuple(rows))


def _sizes(comparison: Comparison) -> Table:
    rows = []
    for change in sorted(comparison.sizes, key=lambda change: change.old - change.new):
        if change.verdict == "same":
            continue
        relative = change.new / change.old - 1 if change.old else None
        rows.append(
            (
                _name(change.candidate, change.is_ours),
                Cell(data_size(change.old), change.old),
                Cell(data_size(change.new), change.new),
                Cell("–" if relative is None else f"{100 * relative:+.1f} %", relative),
                _verdict(change.verdict),
            )
        )
    columns = (
        _CANDIDATE,
        Column("old"),
        Column("new"),
        Column("change"),
        Column("it is", is_number=False),
    )
    return Table("sizes", "Size", columns, tuple(rows))


def _name(candidate: str, is_ours: bool) -> Cell:
    return Cell(plain(candidate) if is_ours else f"{plain(candidate)} (not counted)")


def _verdict(verdict: str) -> Cell:
    return Cell(_WORDS[verdict], kind=_KINDS.get(verdict, ""))


def _time(change: LatencyChange, value: float) -> Cell:
    text = f"{value:.3f}" if change.basis == "ratio" else milliseconds(value)
    return Cell(text, value)


def _signed(change: Interval) -> str:
    value, low, high = (100 * share for share in (change.value, change.low, change.high))
    return f"{value:+.1f} % ({low:+.1f}…{high:+.1f})"
