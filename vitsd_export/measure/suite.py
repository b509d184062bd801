"""The benchmark suite: every candidate's parity, accuracy, memory, latency and share of the limit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from vitsd_export.data.dataset import ImageDataset
from vitsd_export.measure.results import Candidate, Row, Speed
from vitsd_export.measure.settings import Settings


class Progress(Protocol):
    """Is told what is going on, for a progress bar."""

    def __call__(self, message: str, done: float, total: float) -> None:
        """Tells what is being done and how much of the whole, in expected seconds, lies behind."""


def _no_progress(message: str, done: float, total: float) -> None:
    """Tells nobody."""


def run_suite(
    candidates: Sequence[Candidate],
    *,
    reference: np.ndarray,
    images: ImageDataset,
    class_names: Sequence[str],
    settings: Settings,
    speed: Speed | None = None,
    done: Mapping[str, Row] | None = None,
    on_row: Callable[[Row], None] = lambda row: None,
    progress: Progress = _no_progress,
) -> tuple[Row, ...]:
    """Measures candidates, each in processes of its own, and their times side by side.

    Nothing that a candidate does to its process stops the others: a crash, an error, or a step beyond the
    time limit makes a row with `failure`; a runtime that is not installed one with `skipped`.

    Args:
        candidates: What to measure; the names are unique, and a `peer` is one of them.
        reference: [N, classes] float32, the reference model's probabilities of `images`.
        images: [N, size, size, 3], of the size that the model takes. With labels of `class_names`,
            accuracy is measured.
        class_names: The model's, in the order of its outputs.
        settings: Options.
        speed: Rates of the machine on one thread, for the limit; None leaves the limit out.
        done: Rows of an earlier run by the candidate's name. What they hold is not measured again.
        on_row: Called with a candidate's row whenever it has grown: after parity and accuracy, and after
            the times at each number of threads. The last call carries the final row.
        progress: Told how far the run is.

    Returns:
        The rows in the order of the candidates.

    Raises:
        UsageError: If the candidates or the arrays do not fit together.
        KeyboardInterrupt: After every process has been ended; what `on_row` got is kept.
    """
    raise NotImplementedError
