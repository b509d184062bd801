"""Runs a Keras model that is in memory, on whatever backend Keras uses."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from vitsd_export.artifact.tensor_info import TensorInfo
from vitsd_export.errors import InputError
from vitsd_export.runtimes.base import DEFAULT_BATCH_SIZE, ImageRunner, OutputMeaning


class KerasRunner(ImageRunner):
    """A Keras model that maps raw pixels 0–255, [N, size, size, 3], to [N, classes].

    It is the reference the artifacts are compared with, so it is run as it is: not compiled, in
    inference mode.

    Args:
        model: The model; one input, one output.
        output: What the model gives: `logits`, or `probabilities` if it ends in a softmax.
        labels: Class names; those usual for their number when None.
        path: File the model was read from, for messages.
        batch_size: Images in a batch.

    Raises:
        InputError: If the model is not a classifier of RGB images, or the labels do not fit it.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        output: OutputMeaning = "logits",
        labels: tuple[str, ...] | None = None,
        path: Path | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> None:
        super().__init__(
            name=f"keras {keras.__version__} ({keras.config.backend()})",
            path=path,
            manifest=None,
            inputs=tuple(tensor_info(tensor) for tensor in model.inputs),
            outputs=tuple(tensor_info(tensor) for tensor in model.outputs),
            batch_size=batch_size,
        )
        if labels is not None and len(labels) != self.num_classes:
            raise InputError(
                f"There are {len(labels)} labels for a model of {self.num_classes} classes. "
                "Give one name for each class."
            )
        self.labels = labels if labels is not None else self.labels
        self._model = model
        self.output_meaning = output

    def _run_batch(self, pixels: np.ndarray) -> np.ndarray:
        answers = self._model(pixels.astype(self._input.dtype), training=False)
        return np.asarray(keras.ops.convert_to_numpy(answers), np.float32)

    def _release(self) -> None:
        del self._model


def tensor_info(tensor: Any) -> TensorInfo:
    """Returns what a Keras tensor declares."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return TensorInfo(tensor.name, dtype, tuple(tensor.shape))
