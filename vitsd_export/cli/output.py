"""What several commands print."""

import contextlib
import json
import math
import os
import time
from collections.abc import Container, Iterator
from typing import Any

from vitsd_export._internal.progress import Progress

# Seconds between two lines without a terminal.
_SECONDS_BETWEEN_LINES = 10.0


@contextlib.contextmanager
def _standard_error() -> Iterator[Any]:
    """Yields a console on standard error, with a descriptor of its own: converters' output is redirected."""
    from rich.console import Console

    with os.fdopen(os.dup(2), "w") as stream:
        yield Console(file=stream)


@contextlib.contextmanager
def show_progress() -> Iterator[Progress]:
    """Yields a function that shows what is going on, on standard error."""
    with _standard_error() as console:
        if not console.is_terminal:
            yield lambda message, done=0, total=0: print(message, file=console.file, flush=True)
            return
        with console.status("starting") as status:
            yield lambda message, done=0, total=0: status.update(message)


@contextlib.contextmanager
def show_progress_bar() -> Iterator[Progress]:
    """Yields a function that shows what is going on and when it will end, on standard error."""
    with _standard_error() as console:
        if not console.is_terminal:
            yield _print_now_and_then(console.file)
            return
        from rich import progress

        columns = (
            progress.BarColumn(bar_width=24),
            progress.TextColumn("{task.percentage:3.0f} %"),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left:"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.description}", markup=False),
        )
        with progress.Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("starting", total=None)
            yield lambda message, done=0, total=0: bar.update(
                task, description=message, completed=done, total=total or None
            )


def _print_now_and_then(stream: Any) -> Progress:
    last = -math.inf

    def show(message: str, done: float = 0, total: float = 0) -> None:
        nonlocal last
        if not total:
            print(message, file=stream, flush=True)
        elif time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"{done / total:4.0%} {message}", file=stream, flush=True)

    return show


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def name_images(verification: Any) -> str:
    """Returns how many and which images a file was verified on, and whether their labels count."""
    data = verification.data
    note = ", labels of other classes" if data["labels"] == "others" else ""
    return f"{verification.images} images: {data['source']}{note}"


def print_verification(title: str, verification: Any) -> None:
    from rich.text import Text

    console, table = new_table("", "check", "measured", "limit", numbers=(2, 3))
    console.print(Text(title, style="bold"), soft_wrap=True)
    for check in verification.checks:
        table.add_row(
            "[green]✓[/]" if check.passed else "[red]✗[/]",
            check.name,
            check.measured,
            check.allowed.replace("<=", "≤").replace(">=", "≥"),
        )
    for reason in verification.skipped:
        table.add_row("-", reason, "", "")
    parity = verification.parity
    if parity.reference_top1 is not None:
        table.add_row("", "top-1 of Keras", f"{parity.reference_top1:.2%}", "")
        table.add_row("", "top-1 of the artifact", f"{parity.artifact_top1:.2%}", "")
    console.print(table)


def new_table(*headings: str, numbers: Container[int] = ()) -> tuple[Any, Any]:
    """Returns rich's console and a table of it, with the columns of numbers aligned right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place in numbers else "left", overflow="fold")
    return Console(highlight=False), table


def megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"
