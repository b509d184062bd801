"""Runs that train a small model on a few random images in a moment."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from tests.support.training_parts import EPOCHS, RECIPE, small_config, small_data
from training import loop
from training.loop import Settings, Trained
from training.presets import Config
from training.recipes import Recipe
from vitsd_export.data.dataset import ImageDataset


def silent() -> Console:
    """A console that shows nothing."""
    return Console(file=io.StringIO())


def run(
    folder: Path,
    *,
    dropout: float = 0.0,
    config: Config | None = None,
    recipe: Recipe = RECIPE,
    data: ImageDataset | None = None,
    console: Console | None = None,
    **settings: Any,
) -> Trained:
    """Trains the small model, or another one, on the small data.

    Args:
        folder: Where the run is written.
        dropout: That of the small model.
        config: Another model.
        recipe: Hyperparameters.
        data: Other images.
        console: Where progress is shown; nowhere when None.
        settings: What `training.loop.Settings` takes.
    """
    return loop.train(
        config or small_config(dropout),
        recipe,
        data or small_data(),
        folder,
        Settings(**settings),
        console=console or silent(),
    )


def weights_of(model: keras.Model) -> list[np.ndarray]:
    return [np.array(weight) for weight in model.get_weights()]


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


def finish(folder: Path, dropout: float) -> FinishedRun:
    """Trains to the end."""
    trained = run(folder, dropout=dropout)
    assert len(trained.log) == EPOCHS
    return FinishedRun(folder, trained.log, weights_of(trained.model), trained.best_epoch, dropout)
