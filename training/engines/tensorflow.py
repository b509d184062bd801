"""The training step on TensorFlow: one function that XLA compiles; several devices mirror the variables."""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from training.engines.devices import Devices
from training.engines.program import Program

# XLA fuses LayerNorm, softmax and GELU: 1.2 times the steps of the plain graph on two cores.
JIT_COMPILE = True


def mirrored_strategy(names: Sequence[str]) -> Any:
    """Returns a `tf.distribute.MirroredStrategy` over devices named as Keras lists them."""
    return tf.distribute.MirroredStrategy([f"/device:{name.upper()}" for name in names])


@functools.cache
def multi_worker_strategy() -> Any:
    """Returns the one `tf.distribute.MultiWorkerMirroredStrategy` over the hosts that TF_CONFIG names.

    The first call must come before TensorFlow computes anything.
    """
    return tf.distribute.MultiWorkerMirroredStrategy()


def split_processor(count: int) -> None:
    """Makes several logical devices of the processor where there is no GPU.

    Nothing is changed once TensorFlow has begun to compute.
    """
    (processor,) = tf.config.list_physical_devices("CPU")
    if tf.config.list_physical_devices("GPU"):
        return
    # TensorFlow then refuses; training works with one device, only slower.
    with contextlib.suppress(RuntimeError):
        tf.config.set_logical_device_configuration(
            processor, [tf.config.LogicalDeviceConfiguration()] * count
        )


def has_bfloat16() -> bool:
    """Tells whether the first GPU, if there is one, has matrix units for bfloat16."""
    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return False
    capability = tf.config.experimental.get_device_details(devices[0]).get("compute_capability")
    return capability is not None and capability >= (8, 0)


class TensorFlowEngine:
    """See `training.engines.Engine`."""

    def __init__(
        self, program: Program, images: np.ndarray, labels: np.ndarray, devices: Devices
    ) -> None:
        self._program = program
        self._strategy = devices.distribution
        self._count = devices.count
        self._data = (tf.constant(images), tf.constant(labels.astype(np.int32)))
        self._draws: dict[str, Any] = {}
        self._figures: Any = None
        one_device = tf.function(self._one_step, jit_compile=JIT_COMPILE)
        self._update = one_device if self._strategy is None else tf.function(self._shared_step)
        # Compiled within the shared step too, where the part that speaks with other devices cannot be.
        self._compiled_gradients = tf.function(self._gradients, jit_compile=JIT_COMPILE)

    def begin(self, draws: Mapping[str, np.ndarray]) -> None:
        self._draws = {name: tf.constant(array) for name, array in draws.items()}
        self._figures = tf.zeros(2)

    def _gradients(self, images: Any, labels: Any, draws: dict[str, Any]) -> tuple[Any, Any]:
        program = self._program
        pixels, targets = program.batch(images, labels, draws)
        variables = [variable.value for variable in program.model.trainable_variables]
        with tf.GradientTape() as tape:
            logits = program.model(pixels, training=True)
            loss = program.loss(targets, logits)
        return tape.gradient(loss, variables), program.figures(loss, targets, logits)

    def _one_step(
        self, figures: Any, images: Any, labels: Any, draws: dict[str, Any], index: Any
    ) -> Any:
        # Not array[index]: XLA would take the index for a constant and compile every step anew.
        drawn = {name: tf.gather(array, index) for name, array in draws.items()}
        gradients, of_step = self._gradients(images, labels, drawn)
        self._program.optimizer.apply(gradients, self._program.model.trainable_variables)
        return figures + of_step

    def _shared_step(
        self, figures: Any, images: Any, labels: Any, draws: dict[str, Any], index: Any
    ) -> Any:
        each = self._program.recipe.batch_size // self._count

        def of_replica() -> tuple[Any, Any]:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            drawn = {
                name: tf.ensure_shape(
                    array[index][replica * each : (replica + 1) * each], (each, *array.shape[2:])
                )
                for name, array in draws.items()
            }
            return self._compiled_gradients(images, labels, drawn)

        gradients, of_step = self._strategy.run(of_replica)
        # Reduced before the optimizer clips them: clipped apart, they would be others than of one device.
        mean = tf.distribute.ReduceOp.MEAN
        reduced = [self._strategy.reduce(mean, gradient, axis=None) for gradient in gradients]
        self._program.optimizer.apply(reduced, self._program.model.trainable_variables)
        return figures + self._strategy.reduce(tf.distribute.ReduceOp.SUM, of_step, axis=None)

    def step(self, index: int) -> Any:
        self._figures = self._update(
            self._figures, *self._data, self._draws, tf.constant(index, tf.int32)
        )
        return self._figures

    def figures(self, handle: Any) -> tuple[float, float]:
        loss, right = handle.numpy()
        return float(loss), float(right)

    def finish(self) -> None:
        """The variables are updated in place; reading them waits for the steps."""
