"""The table artifact × runtime in the documentation."""

from pathlib import Path

from filelock import FileLock

from tests.clients.clients import CLIENTS, Client

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "runtimes.md"
# Rows of each format's table.
CELLS = {
    "onnx": (
        "float32",
        "float32 (--opset 17)",
        "float16",
        "weight-only-int8",
        "dynamic-int8",
        "int8",
        "int8 (--opset 17)",
        "int4",
    ),
    "tflite": (
        "float32",
        "float16",
        "weight-only-int8",
        "dynamic-int8",
        "int8",
        "int4",
        "full-int8",
    ),
}


def read_cell(client: Client, row: str) -> str:
    """Returns what the page says of an artifact in a runtime."""
    cells = _tables()[client.format][row]
    return cells[_columns(client.format).index(client.name)]


def write_cell(client: Client, row: str, cell: str) -> None:
    """Puts an outcome into the page."""
    with FileLock(f"{PAGE}.lock"):
        tables = _tables()
        tables[client.format][row][_columns(client.format).index(client.name)] = cell
        page = PAGE.read_text(encoding="utf-8")
        for form, rows in tables.items():
            start, end = _marks(form)
            head = ["", *_columns(form)]
            lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
            lines += [f"| `{name}` | " + " | ".join(cells) + " |" for name, cells in rows.items()]
            before, rest = page.split(start)
            page = before + start + "\n\n" + "\n".join(lines) + "\n\n" + end + rest.split(end)[1]
        PAGE.write_text(page, encoding="utf-8")


def _columns(form: str) -> list[str]:
    return [client.name for client in CLIENTS if client.format == form]


def _marks(form: str) -> tuple[str, str]:
    return f"<!-- {form} -->", f"<!-- end of {form} -->"


def _tables() -> dict[str, dict[str, list[str]]]:
    page = PAGE.read_text(encoding="utf-8")
    tables = {}
    for form, rows in CELLS.items():
        start, end = _marks(form)
        found = {}
        for line in page.split(start)[1].split(end)[0].splitlines():
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            found[name.strip("`")] = cells
        columns = len(_columns(form))
        tables[form] = {row: found.get(row, [""] * columns) for row in rows}
    return tables
