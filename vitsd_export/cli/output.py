"""What several commands print."""

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def show_progress() -> Iterator[Any]:
    """Yields a function that shows what is going on, on standard error."""
    from rich.console import Console

    # A descriptor of its own: converters are muted by redirecting descriptor 2.
    with os.fdopen(os.dup(2), "w") as stream:
        console = Console(file=stream)
        if not console.is_terminal:
            yield lambda message: print(message, file=stream, flush=True)
            return
        with console.status("starting") as status:
            yield status.update


# Seconds between two lines where there is no terminal to draw a bar on.
_SECONDS_BETWEEN_LINES = 10.0


@contextlib.contextmanager
def show_progress_bar() -> Iterator[Any]:
    """Yields a function that shows what is going on, how far it is and when it will end, on standard error.

    It takes a message and what lies behind of how much, in any unit; 0 of 0 where that is not known.
    """
    from rich.console import Console

    with os.fdopen(os.dup(2), "w") as stream:
        console = Console(file=stream)
        if console.is_terminal:
            yield from _draw_bar(console)
        else:
            yield _print_now_and_then(stream)


def _draw_bar(console: Any) -> Iterator[Any]:
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda message, done, total: bar.update(
            task, description=message, completed=done, total=total or None
        )


def _print_now_and_then(stream: Any) -> Any:
    last = -math.inf

    def show(message: str, done: float, total: float) -> None:
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
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(title, style="bold"), soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "check", "measured", "limit"):
        table.add_column(heading, justify="left" if heading in ("", "check") else "right")
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


def megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"
