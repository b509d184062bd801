"""Keras on TensorFlow, and a run that several tests look at."""

import pytest

from vitsd_export._internal.tensorflow import use_tensorflow

use_tensorflow()

from tests.support.training_runs import FinishedRun, finish  # noqa: E402


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A run without dropout."""
    return finish(tmp_path_factory.mktemp("runs") / "plain", 0.0)


@pytest.fixture(scope="session")
def finished_with_dropout(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A run with dropout in the attention, the MLP and the head."""
    return finish(tmp_path_factory.mktemp("runs") / "dropout", 0.3)
