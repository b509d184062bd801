"""What a run trains on: one device, or several that share each batch."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from training.engines.cluster import in_cluster
from vitsd_export.errors import EnvironmentProblem, UsageError


@dataclasses.dataclass(frozen=True)
class Devices:
    """Devices that hold copies of the model and share each batch evenly.

    Attributes:
        names: As Keras lists them, such as `gpu:0`.
        distribution: `keras.distribution.DataParallel` on JAX, `tf.distribute.MirroredStrategy` on
            TensorFlow; None for a single device.
    """

    names: tuple[str, ...]
    distribution: Any = None

    @property
    def count(self) -> int:
        """Number of devices."""
        return len(self.names)

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Within it, variables are made on all devices."""
        with contextlib.nullcontext() if self.distribution is None else self.distribution.scope():
            yield


def _check_share(batch_size: int, shares: int) -> None:
    if batch_size % shares:
        raise UsageError(
            f"A batch of {batch_size} cannot be shared evenly {shares} ways. Give another --batch-size or "
            "--devices."
        )


def _of_all_workers(names: list[str], count: int | None) -> Devices:
    from training.engines.tensorflow_devices import multi_worker_strategy

    if count is not None:
        raise UsageError("With TF_CONFIG, all devices of all workers train: leave --devices out.")
    strategy = multi_worker_strategy()
    return Devices(tuple(names[:1]) * strategy.num_replicas_in_sync, strategy)


def limit_threads(count: int | None) -> None:
    """Limits the processor threads of a step; to be called before anything is computed.

    Args:
        count: None for the backend's own choice.

    Raises:
        UsageError: On JAX, whose number of threads cannot be set.
    """
    import keras

    if count is None:
        return
    backend = keras.backend.backend()
    if backend == "jax":
        raise UsageError("JAX has no option for threads: leave --threads out, or use taskset.")
    if backend == "torch":
        import torch

        torch.set_num_threads(count)
        return
    from training.engines.tensorflow_devices import set_threads

    set_threads(count)


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
    import keras

    backend = keras.backend.backend()
    if backend == "torch":
        # Keras on torch lists none.
        names = [str(keras.ops.zeros(()).device)]
    else:
        names = [str(name).lower() for name in keras.distribution.list_devices()]
    if in_cluster() and backend == "tensorflow":
        devices = _of_all_workers(names, count)
        _check_share(batch_size, devices.count * together)
        return devices
    if count is None:
        count = len(names)
        while not in_cluster() and count > 1 and batch_size % (count * together):
            count -= 1
    if count == 1:
        _check_share(batch_size, together)
        return Devices((names[0],))
    if backend == "torch":
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
    if backend == "jax":
        return Devices(chosen, keras.distribution.DataParallel(devices=list(chosen)))
    from training.engines.tensorflow_devices import mirrored_strategy

    return Devices(chosen, mirrored_strategy(chosen))
