"""What a run ran on, how fast it trains, and which share of the device's matrix peak that is."""

import os
import platform
import sys
import time
from typing import Any

import keras
import numpy as np

from training.precision import Precision
from vitsd_export.model.config import ModelConfig

_ROUNDS = 5


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


def device_share(config: ModelConfig, precision: Precision, images_per_second: float) -> float:
    """Returns the share of the measured rate of matrix products that a training speed on one device is."""
    return images_per_second * training_multiply_adds(config) / matmul_rate(precision)


def training_multiply_adds(config: ModelConfig) -> int:
    """Returns the multiply-adds of a training step for one image, in the matrix products alone.

    The backward pass has two products for each one of the forward pass. Resizing, norms and the like are
    left out: they do not run on matrix units.
    """
    tokens, dim = config.num_tokens, config.dim
    width = config.num_heads * config.key_dim
    forward = tokens * dim * config.patch_size**2 * 3 * 5
    mlp = _dense(dim, config.mlp_units)
    attention = tokens * dim * width * 4 + tokens * tokens * width * 2
    forward += config.depth * (attention + tokens * mlp)
    features = tokens * dim if config.head == "flatten" else dim
    forward += _dense(features, (*config.head_units, config.num_classes))
    return 3 * forward


def _dense(inputs: int, units: tuple[int, ...]) -> int:
    return sum(a * b for a, b in zip((inputs, *units), units, strict=False))


def matmul_rate(precision: Precision) -> float:
    """Measures the multiply-adds a second of a large square matrix product on the first device."""
    size = 8192 if accelerators() else 1024
    factor = keras.ops.ones((size, size), dtype=precision)
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        product: Any = factor
        for _ in range(4):
            product = keras.ops.matmul(factor, product) * (1.0 / size)
        # Reading one value waits for all of it. NumPy cannot read bfloat16 from TensorFlow.
        keras.ops.convert_to_numpy(keras.ops.cast(product[0, 0], "float32"))
        best = min(best, time.perf_counter() - started)
    return 4 * size**3 / best
