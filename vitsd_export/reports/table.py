"""Tables as data, whatever they are shown on, and the cells of the figures in them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vitsd_export.measure.benchmark.results import Interval, LatencyFigures
from vitsd_export.reports.wording import (
    NOTHING,
    data_size,
    interval,
    milliseconds,
    percent,
    small,
)

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        is_number: Whether it is aligned and sorted as numbers.
        explanation: What the figure is, where the heading cannot say it.
    """

    title: str
    is_number: bool = True
    explanation: str = ""


@dataclass(frozen=True)
class Cell:
    """What stands in a cell.

    Attributes:
        text: Free of control characters, not escaped for any medium.
        sort: What a column of numbers is sorted by; None comes last.
        note: More, for those who ask: an interval.
        kind: `good` or `bad` for what a report may colour; the text says the same without. `strong` for what
            stands out.
        share: Length of a bar, 0 to 1, where the report can draw one.
    """

    text: str
    sort: float | None = None
    note: str = ""
    kind: str = ""
    share: float | None = None


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row names the row.

    Attributes:
        key: Identifier, unique in a report.
        title: What the rows are about.
        columns: One for each cell of a row.
        rows: The cells.
        note: A sentence below.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


def build(
    key: str,
    title: str,
    columns: Sequence[tuple[Column, Callable[[_Item], Cell]]],
    items: Iterable[_Item],
    note: str = "",
) -> Table | None:
    """Returns a table without the columns that say nothing in any row; None without rows.

    Args:
        key: Identifier, unique in a report.
        title: What the rows are about.
        columns: The columns, each with the function that makes its cells.
        items: One for each row.
        note: A sentence below.
    """
    lines = [tuple(cell(item) for _, cell in columns) for item in items]
    if not lines:
        return None
    kept = [
        place
        for place in range(len(columns))
        if place == 0 or any(line[place].text not in ("", NOTHING) for line in lines)
    ]
    rows = tuple(tuple(line[place] for place in kept) for line in lines)
    return Table(key, title, tuple(columns[place][0] for place in kept), rows, note)


def ratio_cell(figures: LatencyFigures | None, *, with_interval: bool = False) -> Cell:
    """Returns the ratio of the medians, with its interval beside or behind it."""
    if figures is None or figures.ratio is None:
        return Cell(NOTHING)
    ratio = figures.ratio
    text = interval(ratio) if with_interval else f"{ratio.value:.2f}"
    return Cell(text, ratio.value, f"95 % interval {ratio.low:.3f}–{ratio.high:.3f}")


def share_cell(figure: Interval | None) -> Cell:
    """Returns an accuracy, with its interval as a note."""
    if figure is None:
        return Cell(NOTHING)
    return Cell(percent(figure.value), figure.value, f"95 % interval {range_cell(figure).text}")


def bar_cell(share: float | None) -> Cell:
    """Returns a share with a bar where the report can draw one."""
    return Cell(percent(share, 0), share, share=None if share is None else min(max(share, 0), 1))


def range_cell(figure: Interval | None) -> Cell:
    """Returns the interval of a share."""
    if figure is None:
        return Cell(NOTHING)
    return Cell(f"{100 * figure.low:.1f}–{100 * figure.high:.1f} %", figure.low)


def difference_cell(value: float | None) -> Cell:
    """Returns a difference of probabilities."""
    return Cell("not finite" if value is None else small(value), value)


def milliseconds_cell(value: float | None) -> Cell:
    """Returns a time."""
    return Cell(milliseconds(value), value)


def bytes_cell(value: int | None) -> Cell:
    """Returns a size."""
    return Cell(data_size(value), value)


def percent_cell(value: float | None) -> Cell:
    """Returns a share."""
    return Cell(percent(value), value)


def number_cell(value: int | None) -> Cell:
    """Returns a count."""
    return Cell(NOTHING if value is None else f"{value:,}", value)
