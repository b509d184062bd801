"""In which precision a run computes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import keras

Precision = Literal["float32", "bfloat16"]


@contextlib.contextmanager
def policy(precision: Precision) -> Iterator[None]:
    """Within it, layers are made that compute in this precision and hold float32 weights."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def lower_precision(model: keras.Model, precision: Precision) -> None:
    """Makes the layers of a model compute in a precision; its weights stay float32."""
    if precision == "float32":
        return
    for layer in model._flatten_layers(include_self=False):
        # Scores, and what Keras keeps in float32 by itself, are left as they were made.
        if layer.name != "logits" and layer.dtype_policy.name == "float32":
            layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
    model.predict_function = None


def processor_has_bfloat16() -> bool:
    """Tells whether the processor multiplies bfloat16 (AVX512-BF16 or AMX); only Linux says so."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def best_precision() -> Precision:
    """Returns bfloat16 where the device has matrix units for it, else float32."""
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        if torch.cuda.is_available():
            supported = torch.cuda.is_bf16_supported(including_emulation=False)
            return "bfloat16" if supported else "float32"
        return "bfloat16" if processor_has_bfloat16() else "float32"
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        if device.platform == "gpu":
            return "bfloat16" if float(device.compute_capability) >= 8 else "float32"
        # XLA's products for processors are slower in bfloat16.
        return "bfloat16" if device.platform == "tpu" else "float32"
    import tensorflow as tf

    has_units = processor_has_bfloat16()
    for gpu in tf.config.list_physical_devices("GPU")[:1]:
        details = tf.config.experimental.get_device_details(gpu)
        has_units = tuple(details.get("compute_capability", (0, 0))) >= (8, 0)
    return "bfloat16" if has_units else "float32"
