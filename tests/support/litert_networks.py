"""A network of dense layers in LiteRT, and its activations by NumPy alone."""

import functools
import itertools
from typing import Any

import numpy as np

from vitsd_export._internal.tensorflow import quiet_converters

SIZE = 4
WIDTHS = (SIZE * SIZE * 3, 24, 20, 16, 6)
_RNG = np.random.default_rng(11)
WEIGHTS = tuple(
    _RNG.normal(0, width**-0.5, (width, following)).astype(np.float32)
    for width, following in itertools.pairwise(WIDTHS)
)
# The converter calls the first tensor `layer1`, which is how the names of the others begin.
NAMES = ("layer", "layer1a", "layer1b", "layer1c")
PICTURES = _RNG.integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)
BLACK = np.zeros((1, SIZE, SIZE, 3), np.uint8)


def activations(pictures: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """What enters and what leaves each layer, in float64, with tanh between the layers."""
    x = pictures.reshape(len(pictures), -1).astype(np.float64) / 255
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for weights in WEIGHTS:
        x = np.tanh(x) if pairs else x
        pairs.append((x, x @ weights.astype(np.float64)))
        x = pairs[-1][1]
    return pairs


@functools.cache
def litert_network(batch: int = 1, *, black_is_nan: bool = False) -> bytes:
    """The network as a .tflite file.

    Args:
        batch: Its fixed batch.
        black_is_nan: Whether it answers a black picture with NaN.
    """
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([batch, SIZE, SIZE, 3], tf.uint8, "image")])
    def serve(image: Any) -> Any:
        x = tf.reshape(tf.cast(image, tf.float32) / 255.0, [batch, -1])
        if black_is_nan:
            total = tf.reduce_sum(x, 1, keepdims=True)
            x = x * (total / total)
        for index, (weights, name) in enumerate(zip(WEIGHTS, NAMES, strict=True)):
            x = tf.matmul(tf.tanh(x) if index else x, tf.constant(weights), name=name)
        return {"logits": x}

    with quiet_converters():
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [serve.get_concrete_function()], tf.Module()
        )
        return bytes(converter.convert())
