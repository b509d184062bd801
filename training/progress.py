"""What a run shows while it trains."""

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


def step_bar(console: Console, *, steps: int, done: int) -> Progress:
    """Returns a bar of the steps of a run; its one task has a field `figures`.

    Args:
        console: Where it is shown.
        steps: Steps of the run.
        done: Steps that an interrupted run has done.
    """
    bar = Progress(
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
    bar.add_task("training", total=steps, completed=done, figures="")
    return bar
