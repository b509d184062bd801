"""Keras on TensorFlow, and a run that several tests look at."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from vitsd_export._internal.tensorflow import use_tensorflow

use_tensorflow()

from tests.support.training_parts import EPOCHS  # noqa: E402
from tests.support.training_runs import run, weights_of  # noqa: E402


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run that nothing broke.

    Attributes:
        folder: Its folder; not to be changed.
        log: Its rows.
        weights: The model's weights in the end: those of the best epoch.
        best_epoch: Which that is.
        dropout: Dropout rate of all its layers.
    """

    folder: Path
    log: list[dict[str, float]]
    weights: list[np.ndarray]
    best_epoch: int
    dropout: float


def _finish(folder: Path, dropout: float) -> FinishedRun:
    trained = run(folder, dropout=dropout)
    assert len(trained.log) == EPOCHS
    return FinishedRun(folder, trained.log, weights_of(trained.model), trained.best_epoch, dropout)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A run without dropout."""
    return _finish(tmp_path_factory.mktemp("runs") / "plain", 0.0)


@pytest.fixture(scope="session")
def finished_with_dropout(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A run with dropout in the attention, the MLP and the head."""
    return _finish(tmp_path_factory.mktemp("runs") / "dropout", 0.3)
