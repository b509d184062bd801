"""A benchmark run as Markdown (CommonMark with GitHub's tables)."""

import re
from collections.abc import Iterable
from pathlib import Path

from vitsd_export._internal.atomic_write import write_file
from vitsd_export.measure.benchmark.results import Results
from vitsd_export.reports.table import Cell, Table
from vitsd_export.reports.tables import all_tables
from vitsd_export.reports.wording import data_name, headline, machine_name, plain, versions, when

# What has a meaning wherever it stands, and the bar that ends a cell. A backslash before any of these is the
# character itself; an underscore within a word means nothing.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~&$#]|(?<![^\W_])_|_(?![^\W_])")
# What has one at the beginning of a line alone: lists and underlines of headings.
_LEADING = re.compile(r"^(\d*)([-+=.)])(?=[\s=-]|$)")


def write_markdown(results: Results, path: Path) -> None:
    """Writes `to_markdown`, atomically.

    Raises:
        EnvironmentProblem: If the file cannot be written.
    """
    write_file(path, to_markdown(results))


def to_markdown(results: Results) -> str:
    """Returns the tables of a run, and below them the command, date, machine and versions."""
    parts = [f"# {escape(headline(results))}"]
    parts += [_section(table) for table in all_tables(results)]
    if not results.rows:
        parts.append("No candidate was measured.")
    parts.append(_provenance(results))
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Returns text that Markdown shows as it is, in a paragraph, a heading or a cell."""
    escaped = _SPECIAL.sub(lambda found: "\\" + found.group(), plain(text).strip())
    return _LEADING.sub(r"\1\\\2", escaped)


def _section(table: Table) -> str:
    note = f"\n\n{escape(table.note)}" if table.note else ""
    return f"## {escape(table.title)}\n\n{to_lines(table)}{note}"


def to_lines(table: Table) -> str:
    """Returns the lines of a table, without its title and note."""
    lines = [
        [escape(column.title) for column in table.columns],
        ["---:" if column.is_number else "---" for column in table.columns],
        *([_text(cell) for cell in row] for row in table.rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(cell: Cell) -> str:
    text = escape(cell.text)
    return f"**{text}**" if cell.kind == "strong" else text


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {escape(item)}" for item in items)


def _provenance(results: Results) -> str:
    lines = [
        f"Model: {plain(results.model.get('name', ''))} {plain(results.model.get('sha256', ''))}",
        f"Images: {data_name(results)}",
        f"Started: {when(results)}",
        f"Machine: {machine_name(results)}",
    ]
    known = versions(results)
    if known:
        lines.append("Versions: " + ", ".join(f"{name} {known[name]}" for name in known))
    if results.settings:
        lines.append(
            "Settings: " + ", ".join(f"{key} {value}" for key, value in results.settings.items())
        )
    return f"## Where this is from\n\n{_code(plain(results.command))}\n\n{_list(lines)}"


def _code(text: str) -> str:
    """Returns a block of code; its fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{text}\n{fence}"
