"""Runs that train a small model on a few random images in a moment."""

import io
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
from rich.console import Console

from tests.training.small_parts import RECIPE, small_config, small_data
from training import loop
from training.engines import tensorflow as tensorflow_engine
from training.loop import Trained
from training.recipes import Recipe
from vitsd_export.data.dataset import ImageDataset


def silent() -> Console:
    """A console that shows nothing."""
    return Console(file=io.StringIO())


def run(
    folder: Path,
    *,
    dropout: float = 0.0,
    recipe: Recipe = RECIPE,
    data: ImageDataset | None = None,
    xla: bool = False,
    **options: Any,
) -> Trained:
    """Trains the small model on the small data; without XLA, which takes seconds to compile."""
    arguments = {"console": silent(), **options}
    with mock.patch.object(tensorflow_engine, "JIT_COMPILE", xla):
        return loop.train(small_config(dropout), recipe, data or small_data(), folder, **arguments)


def weights_of(model: keras.Model) -> list[np.ndarray]:
    return [np.array(weight) for weight in model.get_weights()]
