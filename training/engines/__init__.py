"""The compiled training step, one file a Keras backend, behind one protocol."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from training.engines.devices import Devices
from training.engines.program import Program


class Engine(Protocol):
    """Trains a model on data that lies on the device.

    An epoch is `begin`, `step` for each step, `finish`. In between, nothing is read back from the device but
    what the caller asks of `figures`.
    """

    def begin(self, draws: Mapping[str, np.ndarray]) -> None:
        """Takes an epoch's draws, [steps, batch, …] each, to the device."""

    def step(self, index: int) -> Any:
        """Starts one step; returns a handle of the epoch's figures up to it."""

    def figures(self, handle: Any) -> tuple[float, float]:
        """Waits for a step; returns loss and top-1 summed over the epoch's images so far."""

    def finish(self) -> None:
        """Waits for all steps; the model's and the optimizer's variables then hold the new values."""


def create_engine(
    program: Program, images: np.ndarray, labels: np.ndarray, devices: Devices
) -> Engine:
    """Returns the engine of the Keras backend in use.

    Args:
        program: Model, optimizer and recipe; made within `devices.scope()`.
        images: Training images [N, size, size, 3] uint8.
        labels: [N] integers.
        devices: What it runs on.
    """
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        from training.engines.jax import JaxEngine

        return JaxEngine(program, images, labels, devices)
    if backend == "torch":
        from training.engines.torch import TorchEngine

        return TorchEngine(program, images, labels)
    from training.engines.tensorflow import TensorFlowEngine

    return TensorFlowEngine(program, images, labels, devices)
