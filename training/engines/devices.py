"""What a run trains on: one device, several that share each batch, or several hosts.

Each host of a cluster runs the same command, and its environment names the others: by Keras's variables on
JAX, by TF_CONFIG on TensorFlow.
"""

import contextlib
import dataclasses
import functools
import os
from typing import Any

import keras

from vitsd_export.errors import EnvironmentProblem, UsageError

_CLUSTER = {"jax": "KERAS_DISTRIBUTION_JOB_ADDRESSES", "tensorflow": "TF_CONFIG"}


@dataclasses.dataclass(frozen=True)
class Devices:
    """Devices that hold copies of the model and share each batch evenly.

    Attributes:
        names: As Keras lists them, such as `gpu:0`.
        distribution: `keras.distribution.DataParallel` on JAX, a `tf.distribute` strategy on TensorFlow;
            None for a single device.
    """

    names: tuple[str, ...]
    distribution: Any = None

    @property
    def count(self) -> int:
        """Number of devices."""
        return len(self.names)

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Within it, variables are made on all devices."""
        if self.distribution is None:
            return contextlib.nullcontext()
        scope: contextlib.AbstractContextManager[Any] = self.distribution.scope()
        return scope


def _in_cluster() -> bool:
    return _CLUSTER.get(keras.backend.backend(), "") in os.environ


def join_cluster() -> None:
    """Meets the other hosts, if there are any; to be called before anything is computed."""
    if not _in_cluster():
        return
    if keras.backend.backend() == "jax":
        keras.distribution.initialize()
    else:
        _multi_worker_strategy()


@functools.cache
def _multi_worker_strategy() -> Any:
    """Returns the one strategy over the hosts that TF_CONFIG names."""
    import tensorflow as tf

    return tf.distribute.MultiWorkerMirroredStrategy()


def _mirrored_strategy(names: tuple[str, ...]) -> Any:
    import tensorflow as tf

    return tf.distribute.MirroredStrategy([f"/device:{name.upper()}" for name in names])


def limit_threads(count: int | None) -> None:
    """Limits the processor threads of a step; to be called before anything is computed.

    Args:
        count: None for the backend's own choice.

    Raises:
        UsageError: On JAX, whose number of threads cannot be set.
    """
    if count is None:
        return
    backend = keras.backend.backend()
    if backend == "jax":
        raise UsageError("JAX has no option for threads: leave --threads out, or use taskset.")
    if backend == "torch":
        import torch

        torch.set_num_threads(count)
        return
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def choose_devices(count: int | None, batch_size: int, *, together: int = 1) -> Devices:
    """Chooses what to train on.

    Args:
        count: How many devices; when None, as many as there are and can share a batch evenly; in a
            cluster, all devices of all hosts.
        batch_size: Images in a step.
        together: Images that must lie on the same device.

    Raises:
        UsageError: If the backend cannot use several devices, or they cannot share a batch evenly.
        EnvironmentProblem: If there are fewer devices.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        # Keras on torch lists none.
        names = [str(keras.ops.zeros(()).device)]
    else:
        names = [str(name).lower() for name in keras.distribution.list_devices()]
    if _in_cluster() and backend == "tensorflow":
        if count is not None:
            raise UsageError(
                "With TF_CONFIG, all devices of all workers train: leave --devices out."
            )
        strategy = _multi_worker_strategy()
        replicas = strategy.num_replicas_in_sync
        _check_share(batch_size, replicas * together)
        return Devices((names[0],) * replicas, strategy)
    if count is None:
        count = len(names)
        while not _in_cluster() and count > 1 and batch_size % (count * together):
            count -= 1
    if count > 1 and backend == "torch":
        raise UsageError(
            "Keras on torch trains on one device here. Set KERAS_BACKEND to jax or tensorflow for "
            f"--devices {count}."
        )
    if count > len(names):
        raise EnvironmentProblem(
            f"--devices {count} asks for more than there are: {', '.join(names)}."
        )
    _check_share(batch_size, count * together)
    chosen = tuple(names[:count])
    if count == 1:
        return Devices(chosen)
    if backend == "jax":
        return Devices(chosen, keras.distribution.DataParallel(devices=list(chosen)))
    return Devices(chosen, _mirrored_strategy(chosen))


def _check_share(batch_size: int, shares: int) -> None:
    if batch_size % shares:
        raise UsageError(
            f"A batch of {batch_size} cannot be shared evenly {shares} ways. Give another --batch-size or "
            "--devices."
        )
