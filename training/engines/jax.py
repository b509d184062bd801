"""The training step on JAX: one jitted function of all state, which the device keeps."""

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from training.batches import Batch
from training.engines.devices import Devices
from training.engines.program import Program


class JaxEngine:
    """See `training.engines.Engine`.

    With several devices, every array is either whole on each of them (weights) or split along the batch;
    XLA's partitioner derives the rest, the sum of the gradients among it.
    """

    def __init__(self, program: Program, devices: Devices) -> None:
        self._program = program
        self._mesh = None
        if devices.distribution is not None:
            self._mesh = devices.distribution.device_mesh.backend_mesh
        self._update = jax.jit(self._one_step, donate_argnums=0)
        self._state: Any = None
        self._figures: Any = None

    def _put(self, array: np.ndarray, *, split: bool = False) -> Any:
        if self._mesh is None:
            return jnp.asarray(array)
        axes = self._mesh.axis_names if split else ()
        sharding = jax.sharding.NamedSharding(self._mesh, jax.sharding.PartitionSpec(*axes))
        # Each process puts the parts of its own devices; device_put would compare all processes' arrays.
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    def _variables(self) -> tuple[list[keras.Variable], ...]:
        model, optimizer = self._program.model, self._program.optimizer
        return model.trainable_variables, model.non_trainable_variables, optimizer.variables

    def begin(self) -> None:
        self._state = tuple([v.value for v in group] for group in self._variables())
        self._figures = self._put(np.zeros(2, np.float32))

    def _one_step(
        self, state: Any, figures: Any, pixels: Any, targets: Any, teacher: Any
    ) -> tuple[Any, Any]:
        program = self._program
        trainable, other, of_optimizer = state

        def loss_of(weights: Any) -> tuple[Any, Any]:
            logits, after = program.model.stateless_call(weights, other, pixels, training=True)
            return program.loss(targets, logits, teacher), (logits, after)

        (loss, (logits, other)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
        trainable, of_optimizer = program.optimizer.stateless_apply(
            of_optimizer, gradients, trainable
        )
        state = (list(trainable), list(other), list(of_optimizer))
        return state, figures + program.figures(loss, targets, logits)

    def step(self, batch: Batch) -> Any:
        arrays = (batch.pixels, batch.targets, batch.teacher)
        self._state, self._figures = self._update(
            self._state,
            self._figures,
            *(None if array is None else self._put(array, split=True) for array in arrays),
        )
        return self._figures

    def figures(self, handle: Any) -> tuple[float, float]:
        loss, right = np.asarray(handle)
        return float(loss), float(right)

    def finish(self) -> None:
        for variables, values in zip(self._variables(), self._state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        self._state = None
