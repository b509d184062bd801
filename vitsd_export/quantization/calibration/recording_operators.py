"""The operators of a lowered model in TensorFlow, with a record of what passes between them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from vitsd_export.lowering.graph import Dense, LayerNorm
from vitsd_export.lowering.tensorflow_operators import TensorFlowOperators
from vitsd_export.quantization.calibration.ranges import Spread
from vitsd_export.quantization.calibration.second_moments import SecondMoments
from vitsd_export.quantization.rounding import GROUP
from vitsd_export.quantization.row_gain import MASKED_BELOW, row_gain

# GELU of this is -0.0001, less than the smallest step of int8.
BEFORE_GELU_LOW = -4.0


class RecordingOperators(TensorFlowOperators):
    """Computes eagerly and records. To be used for one batch of images.

    Args:
        spreads: Where the record goes, over several batches: what dense layers, products, norms, GELUs
            and means answer, by name. Of a LayerNorm also `/variance`; of a layer before a GELU
            `/before_gelu`, without what GELU makes nothing of; of a product with attention weights
            `/unnormalized`, what it is before its rows are divided by their sums: see
            `integer_attention.row_gain`.
        moments: Where the second moments of what enters dense layers go, by the name of their answer; those
            of more than `rounding.GROUP` inputs are left out.
        histograms: Whether to count how often each value occurs.
    """

    def __init__(
        self,
        spreads: dict[str, Spread],
        moments: dict[str, SecondMoments],
        *,
        histograms: bool = False,
    ) -> None:
        super().__init__(lambda values, _: tf.constant(values, tf.float32))
        self._spreads = spreads
        self._moments = moments
        self._histograms = histograms
        # By identity, with the tensor itself, because a tensor that is gone leaves its identity to another.
        self._counted: dict[int, tuple[Any, SecondMoments]] = {}
        self._dense: dict[int, tuple[Any, str]] = {}
        self._scores: dict[int, tuple[Any, str]] = {}
        self._row_sums: dict[int, tuple[Any, np.ndarray]] = {}

    def _record(self, values: np.ndarray, name: str) -> None:
        name = self._scope + name
        if name not in self._spreads:
            self._spreads[name] = Spread(self._histograms)
        self._spreads[name].add(values)

    def _recorded(self, value: Any, name: str) -> Any:
        self._record(value.numpy(), name)
        return value

    def dense(self, x: Any, layer: Dense, name: str) -> Any:
        if len(layer.kernel) <= GROUP:
            self._add_moments(x, self._scope + name)
        y = self._recorded(super().dense(x, layer, name), name)
        self._dense[id(y)] = (y, name)
        return y

    def _add_moments(self, x: Any, name: str) -> None:
        # Several layers may share an input, and then its moments.
        if id(x) in self._counted:
            self._moments.setdefault(name, self._counted[id(x)][1])
            return
        moments = self._moments.setdefault(name, SecondMoments())
        moments.add(x.numpy())
        self._counted[id(x)] = (x, moments)

    def product(self, x: Any, y: Any, name: str, *, transpose_y: bool = False) -> Any:
        product = super().product(x, y, name, transpose_y=transpose_y)
        if id(x) in self._row_sums:
            _, sums = self._row_sums[id(x)]
            self._record(product.numpy() * sums * row_gain(sums), f"{name}/unnormalized")
            return self._recorded(product, name)
        # Scores: what their mask hides does not count, see `add`.
        self._scores[id(product)] = (product, name)
        return product

    def add(self, x: Any, y: Any, name: str) -> Any:
        total = super().add(x, y, name)
        if isinstance(y, np.ndarray) and y.min() < MASKED_BELOW:
            seen = total.numpy()
            self._record(seen[seen > MASKED_BELOW], self._scores[id(x)][1])
        return total

    def layer_norm(self, x: Any, layer: LayerNorm, width: int, name: str) -> Any:
        self._record(tf.math.reduce_variance(x, axis=-1).numpy(), f"{name}/variance")
        return self._recorded(super().layer_norm(x, layer, width, name), name)

    def gelu(self, x: Any, name: str) -> Any:
        self._record(np.maximum(x.numpy(), BEFORE_GELU_LOW), f"{self._dense[id(x)][1]}/before_gelu")
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
        if id(x) in self._row_sums:
            sums = self._row_sums[id(x)][1].reshape(*shape[:-1], 1)
            self._row_sums[id(reshaped)] = (reshaped, sums)
        if id(x) in self._scores:
            self._scores[id(reshaped)] = (reshaped, self._scores[id(x)][1])
        return reshaped
