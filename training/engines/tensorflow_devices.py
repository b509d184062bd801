"""TensorFlow's devices: strategies that share a batch, threads, and what a GPU can do."""

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def mirrored_strategy(names: Sequence[str]) -> Any:
    """Returns a `tf.distribute.MirroredStrategy` over devices named as Keras lists them."""
    return tf.distribute.MirroredStrategy([f"/device:{name.upper()}" for name in names])


@functools.cache
def multi_worker_strategy() -> Any:
    """Returns the one `tf.distribute.MultiWorkerMirroredStrategy` over the hosts that TF_CONFIG names.

    The first call must come before TensorFlow computes anything.
    """
    return tf.distribute.MultiWorkerMirroredStrategy()


def set_threads(count: int) -> None:
    """Sets the processor threads of an operation; to be called before TensorFlow computes anything."""
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def gpu_capability() -> tuple[int, int] | None:
    """Returns the compute capability of the first GPU; None without one."""
    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return None
    details = tf.config.experimental.get_device_details(devices[0])
    return tuple(details.get("compute_capability", (0, 0)))
