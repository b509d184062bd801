"""In which precision a run computes."""

import contextlib
from collections.abc import Iterator
from typing import Literal

import keras

Precision = Literal["float32", "bfloat16"]


@contextlib.contextmanager
def policy(precision: Precision) -> Iterator[None]:
    """Within it, layers are made that compute in this precision and hold float32 weights.

    Args:
        precision: `bfloat16` for Keras's policy `mixed_bfloat16`.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def best_precision() -> Precision:
    """Returns bfloat16 where the device has matrix units for it, else float32."""
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return (
            "bfloat16"
            if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
            else "float32"
        )
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        if device.platform == "gpu":
            return "bfloat16" if float(device.compute_capability) >= 8 else "float32"
        return "bfloat16" if device.platform == "tpu" else "float32"
    from training.engines.tensorflow import has_bfloat16

    return "bfloat16" if has_bfloat16() else "float32"
