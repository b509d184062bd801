"""The training step on torch, eager; nothing is read back from the device within an epoch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from keras import ops

from training.engines.program import Program


class TorchEngine:
    """See `training.engines.Engine`."""

    def __init__(self, program: Program, images: np.ndarray, labels: np.ndarray) -> None:
        self._program = program
        self._data = (
            ops.convert_to_tensor(images),
            ops.convert_to_tensor(labels.astype(np.int32)),
        )
        self._draws: dict[str, Any] = {}
        self._figures: Any = None

    def begin(self, draws: Mapping[str, np.ndarray]) -> None:
        self._draws = {name: ops.convert_to_tensor(array) for name, array in draws.items()}
        self._figures = ops.zeros(2)

    def step(self, index: int) -> Any:
        program = self._program
        with torch.no_grad():
            drawn = {name: array[index] for name, array in self._draws.items()}
            pixels, targets = program.batch(*self._data, drawn)
        program.model.zero_grad()
        logits = program.model(pixels, training=True)
        loss = program.loss(targets, logits)
        loss.backward()
        variables = program.model.trainable_variables
        with torch.no_grad():
            program.optimizer.apply([v.value.grad for v in variables], variables)
            self._figures = self._figures + program.figures(loss.detach(), targets, logits)
        return self._figures

    def figures(self, handle: Any) -> tuple[float, float]:
        loss, right = handle.tolist()
        return loss, right

    def finish(self) -> None:
        """The variables are updated in place."""
