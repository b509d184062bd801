"""The callback that long work reports its progress to."""

from typing import Protocol


class Progress(Protocol):
    """Is told what is being done, and how much of the whole is done where that is known."""

    def __call__(self, message: str, done: float = 0, total: float = 0) -> None:
        """Shows a message; `total` is 0 where the extent of the work is unknown."""


def no_progress(message: str, done: float = 0, total: float = 0) -> None:
    """Shows nothing."""
