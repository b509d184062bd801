"""The training step on TensorFlow: a graph, compiled by XLA or not; several devices mirror the variables."""

import functools
from typing import Any

import tensorflow as tf

from training.batches import Batch
from training.engines.devices import Devices
from training.engines.program import Program


class TensorFlowEngine:
    """See `training.engines.Engine`."""

    def __init__(self, program: Program, devices: Devices) -> None:
        self._program = program
        self._strategy = devices.distribution
        self._count = devices.count
        self._figures: Any = None
        compiled = functools.partial(tf.function, jit_compile=program.compile)
        shared = self._strategy is not None
        self._update = tf.function(self._shared_step) if shared else compiled(self._one_step)
        # Compiled within the shared step too, where the part that speaks with other devices cannot be.
        self._compiled_gradients = compiled(self._gradients)

    def begin(self) -> None:
        self._figures = tf.zeros(2)

    def _gradients(self, pixels: Any, targets: Any, teacher: Any) -> tuple[Any, Any]:
        program = self._program
        variables = [variable.value for variable in program.model.trainable_variables]
        with tf.GradientTape() as tape:
            logits = program.model(pixels, training=True)
            loss = program.loss(targets, logits, teacher)
        # A folded attention does not depend on the keys' biases.
        zero = tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(loss, variables, unconnected_gradients=zero)
        return gradients, program.figures(loss, targets, logits)

    def _one_step(self, figures: Any, pixels: Any, targets: Any, teacher: Any) -> Any:
        gradients, of_step = self._gradients(pixels, targets, teacher)
        self._program.optimizer.apply(gradients, self._program.model.trainable_variables)
        return figures + of_step

    def _shared_step(self, figures: Any, pixels: Any, targets: Any, teacher: Any) -> Any:
        each = self._program.recipe.batch_size // self._count

        def of_replica() -> tuple[Any, Any]:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group

            def share(array: Any) -> Any:
                if array is None:
                    return None
                part = array[replica * each : (replica + 1) * each]
                return tf.ensure_shape(part, (each, *array.shape[1:]))

            return self._compiled_gradients(share(pixels), share(targets), share(teacher))

        gradients, of_step = self._strategy.run(of_replica)
        # Reduced before the optimizer clips them: clipped apart, they would be others than of one device.
        mean = tf.distribute.ReduceOp.MEAN
        reduced = [self._strategy.reduce(mean, gradient, axis=None) for gradient in gradients]
        self._program.optimizer.apply(reduced, self._program.model.trainable_variables)
        return figures + self._strategy.reduce(tf.distribute.ReduceOp.SUM, of_step, axis=None)

    def step(self, batch: Batch) -> Any:
        arrays = (batch.pixels, batch.targets, batch.teacher)
        tensors = (None if array is None else tf.constant(array) for array in arrays)
        self._figures = self._update(self._figures, *tensors)
        return self._figures

    def figures(self, handle: Any) -> tuple[float, float]:
        loss, right = handle.numpy()
        return float(loss), float(right)

    def finish(self) -> None:
        """The variables are updated in place; reading them waits for the steps."""
