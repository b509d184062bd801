"""What a run ran on."""

import os
import platform
import sys

import keras
import numpy as np


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that decide a training run."""
    backend = keras.backend.backend()
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        # Keras has imported it. Its distribution may have another name, such as tensorflow-cpu.
        backend: sys.modules[backend].__version__,
        "numpy": np.__version__,
    }


def hardware() -> str:
    """Returns accelerators, if any, and processor cores, in words."""
    cores = f"{os.cpu_count()} CPU cores, {platform.machine()}"
    names = accelerators()
    return f"{', '.join(names)}; {cores}" if names else cores


def accelerators() -> list[str]:
    """Returns the names of the accelerators that the backend sees."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    if backend == "torch":
        import torch

        return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    names = [str(device) for device in keras.distribution.list_devices()]
    return [name for name in names if not name.lower().startswith("cpu")]
