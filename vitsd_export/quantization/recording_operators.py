"""The operators of a lowered model in TensorFlow, with a record of what passes between them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from vitsd_export.lowering.graph import Dense, LayerNorm
from vitsd_export.lowering.tensorflow_operators import TensorFlowOperators
from vitsd_export.quantization.records import Records, row_gain

# What is below this was put there by a mask.
MASKED_BELOW = -1e8


class RecordingOperators(TensorFlowOperators):
    """Computes eagerly and records. To be used for one batch of images.

    Args:
        records: Where the record goes; one over several batches.
    """

    def __init__(self, records: Records) -> None:
        super().__init__(lambda values, _: tf.constant(values, tf.float32))
        self._records = records
        # By identity, with the tensor itself, because a tensor that is gone leaves its identity to another.
        self._names: dict[int, tuple[Any, str]] = {}
        self._row_sums: dict[int, tuple[Any, Any]] = {}

    def _name_of(self, value: Any) -> str | None:
        return self._names.get(id(value), (None, None))[1]

    def _recorded(self, value: Any, name: str) -> Any:
        self._names[id(value)] = (value, self._scope + name)
        self._records.add(self._scope + name, value.numpy())
        return value

    def dense(self, x: Any, layer: Dense, name: str) -> Any:
        return self._recorded(super().dense(x, layer, name), name)

    def product(self, x: Any, y: Any, name: str, *, transpose_y: bool = False) -> Any:
        product = super().product(x, y, name, transpose_y=transpose_y)
        _, sums = self._row_sums.get(id(x), (None, None))
        if sums is None:
            # Scores: what their mask hides does not count, see `add`.
            self._names[id(product)] = (product, self._scope + name)
            return product
        unnormalized = product.numpy() * sums * row_gain(sums)
        self._records.add(f"{self._scope}{name}/unnormalized", unnormalized)
        return self._recorded(product, name)

    def add(self, x: Any, y: Any, name: str) -> Any:
        total = super().add(x, y, name)
        x_name = self._name_of(x)
        if isinstance(y, np.ndarray) and y.min() < MASKED_BELOW:
            seen = total.numpy()
            if x_name is not None:
                self._records.add(x_name, seen[seen > MASKED_BELOW])
            return total
        for summand in (x_name, self._name_of(y)):
            if summand is not None:
                self._records.summands.add(summand)
        return total

    def layer_norm(self, x: Any, layer: LayerNorm, width: int, name: str) -> Any:
        variance = tf.math.reduce_variance(x, axis=-1)
        self._records.add(f"{self._scope}{name}/variance", variance.numpy())
        return self._recorded(super().layer_norm(x, layer, width, name), name)

    def gelu(self, x: Any, name: str) -> Any:
        return self._recorded(super().gelu(x, name), name)

    def softmax(self, x: Any, name: str) -> Any:
        weights = super().softmax(x, name)
        powers = tf.exp(x - tf.reduce_max(x, axis=-1, keepdims=True))
        sums = tf.reduce_sum(powers, axis=-1, keepdims=True)
        self._row_sums[id(weights)] = (weights, sums.numpy())
        return weights

    def mean(self, x: Any, axis: int, name: str) -> Any:
        return self._recorded(super().mean(x, axis, name), name)

    def reshape(self, x: Any, shape: Sequence[int], name: str) -> Any:
        reshaped = super().reshape(x, shape, name)
        _, sums = self._row_sums.get(id(x), (None, None))
        if sums is not None:
            self._row_sums[id(reshaped)] = (reshaped, sums.reshape(*shape[:-1], 1))
        return self._same(x, reshaped)

    def transpose(self, x: Any, order: Sequence[int], name: str) -> Any:
        return self._same(x, super().transpose(x, order, name))

    def _same(self, old: Any, new: Any) -> Any:
        name = self._name_of(old)
        if name is not None:
            self._names[id(new)] = (new, name)
        return new
