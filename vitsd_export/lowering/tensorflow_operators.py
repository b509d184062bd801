"""The operators of a lowered model in TensorFlow, from which SavedModel and LiteRT are made."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from vitsd_export.lowering.graph import Array, Dense, LayerNorm
from vitsd_export.lowering.operators import Operators


class TensorFlowOperators(Operators):
    """Builds the graph of the function that is being traced.

    Args:
        weight: Makes a tensor of a weight, given its value and name.
    """

    def __init__(self, weight: Callable[[Array, str], Any]) -> None:
        self._make_weight = weight
        self._shared: dict[tuple[Any, ...], Any] = {}

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        with super().scope(name), tf.name_scope(name):
            yield

    def _weight(self, values: Array, name: str) -> Any:
        return self._make_weight(values, self._scope + name)

    def _operand(self, y: Any, name: str) -> Any:
        if not isinstance(y, np.ndarray):
            return y
        # The mask of all blocks is stored once.
        key = (y.shape, y.tobytes())
        if key not in self._shared:
            self._shared[key] = tf.constant(y.astype(np.float32), name=f"{name}/constant")
        return self._shared[key]

    def pixels(self, image: Any, name: str) -> Any:
        return tf.cast(image, tf.float32, name=name)

    def dense(self, x: Any, layer: Dense, name: str) -> Any:
        kernel = self._weight(layer.kernel, f"{name}/kernel")
        if layer.bias is None:
            return tf.linalg.matmul(x, kernel, name=name)
        product = tf.linalg.matmul(x, kernel, name=f"{name}/product")
        return tf.nn.bias_add(product, self._weight(layer.bias, f"{name}/bias"), name=name)

    def apply_left(self, matrix: Array, x: Any, name: str) -> Any:
        return tf.linalg.matmul(self._operand(matrix, name), x, name=name)

    def product(self, x: Any, y: Any, name: str, *, transpose_y: bool = False) -> Any:
        return tf.linalg.matmul(x, y, transpose_b=transpose_y, name=name)

    def add(self, x: Any, y: Any, name: str) -> Any:
        return tf.add(x, self._operand(y, name), name=name)

    def subtract(self, x: Any, y: Any, name: str) -> Any:
        return tf.subtract(x, self._operand(y, name), name=name)

    def multiply(self, x: Any, y: Any, name: str) -> Any:
        return tf.multiply(x, self._operand(y, name), name=name)

    def divide_by_root(self, x: Any, square: Any, name: str) -> Any:
        return tf.multiply(x, tf.math.rsqrt(square, name=f"{name}/rsqrt"), name=name)

    def layer_norm(self, x: Any, layer: LayerNorm, width: int, name: str) -> Any:
        with self.scope(name):
            mean = tf.reduce_mean(x, axis=-1, keepdims=True, name="mean")
            centred = tf.subtract(x, mean, name="centred")
            square = tf.multiply(centred, centred, name="square")
            variance = tf.reduce_mean(square, axis=-1, keepdims=True, name="variance")
            variance = tf.add(variance, layer.epsilon, name="variance_and_epsilon")
            y = self.divide_by_root(centred, variance, "normalized")
            if layer.gamma is not None:
                y = self.multiply(y, layer.gamma, "scaled")
            if layer.beta is not None:
                y = self.add(y, layer.beta, "shifted")
        return y

    def gelu(self, x: Any, name: str) -> Any:
        # Not tf.nn.gelu, whose Erfc Core ML's converter does not know.
        share = 1 + tf.math.erf(x * math.sqrt(0.5))
        return tf.multiply(0.5 * x, share, name=name)

    def softmax(self, x: Any, name: str) -> Any:
        return tf.nn.softmax(x, axis=-1, name=name)

    def mean(self, x: Any, axis: int, name: str) -> Any:
        return tf.reduce_mean(x, axis=axis, name=name)

    def reshape(self, x: Any, shape: Sequence[int], name: str) -> Any:
        return tf.reshape(x, shape, name=name)

    def transpose(self, x: Any, order: Sequence[int], name: str) -> Any:
        return tf.transpose(x, order, name=name)

    def shifted_copies(self, x: Any, by: int, name: str) -> Any:
        start, end = slice(by, None), slice(None, -by)
        before, after = (by, 0), (0, by)
        copies = [x]
        with self.scope(name):
            for columns, pad_columns in ((start, after), (end, before)):
                for rows, pad_rows in ((start, after), (end, before)):
                    pads = ((0, 0), pad_rows, pad_columns, (0, 0))
                    copies.append(tf.pad(x[:, rows, columns, :], pads))
            return tf.concat(copies, axis=-1, name="joined")

    def resize(self, x: Any, old: int, new: int, name: str) -> Any:
        return tf.image.resize(x, (new, new), method="bilinear", name=name)


class Variables:
    """Makes variables of weights, by name, so that functions for several batches share them.

    Variables and not constants: TensorFlow would copy these over and over when it optimises the graph. Who
    holds this holds them: functions alone do not keep them.
    """

    def __init__(self) -> None:
        self._variables: dict[str, tf.Variable] = {}

    def __call__(self, values: Array, name: str) -> tf.Variable:
        with tf.init_scope():
            if name not in self._variables:
                self._variables[name] = tf.Variable(
                    np.asarray(values, np.float32), trainable=False, name=name
                )
        return self._variables[name]
