"""A benchmark run, or two beside each other, on a terminal."""

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from vitsd_export.measure.benchmark.results import Results
from vitsd_export.reports.table import Table
from vitsd_export.reports.tables import all_tables
from vitsd_export.reports.wording import data_name, headline, machine_name, plain, when

if TYPE_CHECKING:
    from rich.console import Console

    from vitsd_export.reports.compare import Comparison

_STYLES = {"good": "green", "bad": "red", "": ""}
# Wide enough for every table: a pipe's reader wants one line a row.
_PIPE_WIDTH = 1000


def print_results(results: Results, console: "Console") -> None:
    """Prints the tables of a run, those that are not about every candidate last.

    A terminal's width is kept to; into a pipe every row is one line.
    """
    _print(console, Text(headline(results), style="bold"))
    for line in (data_name(results), machine_name(results), when(results)):
        _print(console, Text(line, style="dim"))
    for table in all_tables(results):
        _print_table(console, table)
    if not results.rows:
        _print(console, Text("No candidate was measured."))


def print_comparison(comparison: "Comparison", console: "Console") -> None:
    """Prints what changed between two runs, and what it comes to."""
    table = comparison.table()
    if table is not None:
        _print_table(console, table)
    for note in comparison.notes:
        _print(console, Text(plain(note), style="yellow"))
    _print(console, Text(comparison.unchanged, style="dim"))
    style = "bold red" if comparison.regressed else "bold green"
    _print(console, Text(comparison.conclusion, style=style))


def _print_table(console: "Console", table: Table) -> None:
    printed = RichTable(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_edge=False,
        title=Text(table.title, style="bold"),
        title_justify="left",
        caption=Text(table.note, style="dim") if table.note else None,
        caption_justify="left",
    )
    for column in table.columns:
        justify = "right" if column.is_number else "left"
        # Numbers are never broken; names and reasons are, at any place if need be.
        printed.add_column(
            Text(column.title),
            justify=justify,  # type: ignore[arg-type]
            no_wrap=column.is_number,
            overflow="fold",
        )
    for row in table.rows:
        printed.add_row(*(Text(cell.text, style=_STYLES[cell.kind]) for cell in row))
    # Two spaces between columns where there is room, one where names would have to be broken.
    if console.is_terminal and console.measure(printed).maximum > console.width:
        printed.padding = (0, 0, 0, 0)
    _print(console, Text(""))
    _print(console, printed)


def _print(console: "Console", what: Text | RichTable) -> None:
    width = console.width
    try:
        if not console.is_terminal:
            console.width = _PIPE_WIDTH
        console.print(what, highlight=False)
    finally:
        console.width = width
