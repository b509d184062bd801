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


def _of_all_workers(names: list[str], count: int | None) -> Devices:
    from training.engines.tensorflow import multi_worker_strategy

    if count is not None:
        raise UsageError("With TF_CONFIG, all devices of all workers train: leave --devices out.")
    strategy = multi_worker_strategy()
    return Devices(tuple(names[:1]) * strategy.num_replicas_in_sync, strategy)


def choose_devices(count: int | None) -> Devices:
    """Chooses what to train on.

    Args:
        count: How many devices; when None, all accelerators, or else one CPU; in a cluster, all devices
            of all hosts.

    Raises:
        UsageError: If the backend cannot use several devices.
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
        return _of_all_workers(names, count)
    if count is None:
        count = 1 if names[0].startswith("cpu") and not in_cluster() else len(names)
    if count == 1:
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
    chosen = tuple(names[:count])
    if backend == "jax":
        return Devices(chosen, keras.distribution.DataParallel(devices=list(chosen)))
    from training.engines.tensorflow import mirrored_strategy

    return Devices(chosen, mirrored_strategy(chosen))
