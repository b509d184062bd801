"""A table as data, whatever it is shown on."""

from dataclasses import dataclass


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
