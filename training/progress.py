"""What a run shows while it trains."""

from collections.abc import Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class EpochDisplay:
    """A bar of the steps of a run, with figures and the time left, and a line for each epoch.

    Args:
        console: Where it is shown.
        steps: Steps of the run.
        done: Steps that an interrupted run has done.
    """

    def __init__(self, console: Console, *, steps: int, done: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            # Without a terminal there is no line to draw over: the lines of the epochs tell enough.
            disable=not console.is_terminal,
        )
        self._console = console
        self._bar = self._progress.add_task("training", total=steps, completed=done, figures="")

    def __enter__(self) -> "EpochDisplay":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def steps(self, done: int, description: str, figures: str) -> None:
        """Shows how far the run is.

        Args:
            done: Steps done of the whole run.
            description: Which epoch it is in.
            figures: Loss, accuracy and speed so far.
        """
        self._progress.update(self._bar, completed=done, description=description, figures=figures)

    def epoch(self, row: Mapping[str, float]) -> None:
        """Prints a finished epoch's row of the log."""
        self._console.print(
            " ".join(f"{name}={value:.6g}" for name, value in row.items()),
            highlight=False,
            soft_wrap=True,
        )
