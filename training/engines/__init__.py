"""The training step, one file a Keras backend, behind one protocol."""

from typing import Any, Protocol

from training.batches import Batch
from training.engines.devices import Devices
from training.engines.program import Program


class Engine(Protocol):
    """Trains a model.

    An epoch is `begin`, `step` for each batch, `finish`. In between, nothing is read back from the device but
    what the caller asks of `figures`.
    """

    def begin(self) -> None:
        """Starts an epoch: the figures are zero."""

    def step(self, batch: Batch) -> Any:
        """Starts one step; returns a handle of the epoch's figures up to it."""

    def figures(self, handle: Any) -> tuple[float, float]:
        """Waits for a step; returns loss and top-1 summed over the epoch's images so far."""

    def finish(self) -> None:
        """Waits for all steps; the model's and the optimizer's variables then hold the new values."""


def create_engine(program: Program, devices: Devices) -> Engine:
    """Returns the engine of the Keras backend in use, for a program made within `devices.scope()`."""
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        from training.engines.jax import JaxEngine

        return JaxEngine(program, devices)
    if backend == "torch":
        from training.engines.torch import TorchEngine

        return TorchEngine(program)
    from training.engines.tensorflow import TensorFlowEngine

    return TensorFlowEngine(program, devices)
