"""What a run shows while it measures."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

_SECONDS_BETWEEN_LINES = 10.0


class Display:
    """A bar with the time left on a terminal, lines elsewhere; on standard error.

    Args:
        console: Where it is shown.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bar = self._progress.add_task("starting", total=None, left="")
        self._last_line = float("-inf")
        self._began: tuple[float, float] | None = None

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def report(self, message: str) -> None:
        """Shows a step of which nobody knows how long it takes."""
        self._progress.update(self._bar, description=message, total=None, left="")
        if not self._console.is_terminal:
            self._line(message)

    def measuring(self, message: str, done: float, total: float) -> None:
        """Shows how far the measurements are.

        Args:
            message: What is being measured.
            done: Expected seconds of what lies behind.
            total: Expected seconds of everything.
        """
        left = f"ETA {_clock(self._left(done, total))}"
        self._progress.update(
            self._bar, description=message, completed=done, total=total, left=left
        )
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._line(f"{done / total if total else 1:4.0%}, {left}: {message}")

    def _left(self, done: float, total: float) -> float:
        """Returns the seconds left, by how long the expected seconds have really taken."""
        now = time.monotonic()
        if self._began is None or done < self._began[1]:
            self._began = (now, done)
        began, first = self._began
        # Too little has been seen at first to know better than what was expected.
        pace = (now - began) / (done - first) if done - first > 0.02 * total else 1.0
        return max(total - done, 0.0) * pace

    def _line(self, message: str) -> None:
        self._console.print(message, soft_wrap=True, highlight=False, markup=False)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
