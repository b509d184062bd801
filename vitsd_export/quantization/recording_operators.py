"""The operators of a lowered model in TensorFlow, with a record of what passes between them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from vitsd_export.lowering.graph import Array, Dense, LayerNorm
from vitsd_export.lowering.tensorflow_operators import TensorFlowOperators

# Magnitudes are counted in bins of a sixteenth of an octave, from 2^-24 to 2^24.
_BINS_PER_OCTAVE = 16
_OCTAVES = 24
_BINS = 2 * _OCTAVES * _BINS_PER_OCTAVE
BIN_EDGES = np.exp2((np.arange(_BINS + 1) / _BINS_PER_OCTAVE) - _OCTAVES)

# What is below this was put there by a mask.
MASKED_BELOW = -1e8


@dataclasses.dataclass
class Record:
    """A tensor's values over all images.

    Attributes:
        low: Smallest value.
        high: Largest value.
        magnitudes: How many values' magnitudes fall between the `BIN_EDGES`.
    """

    low: float
    high: float
    magnitudes: np.ndarray

    def add(self, other: "Record") -> None:
        """Adds the values of other images."""
        # Not min() and max(): NaN has to stay.
        self.low = float(np.minimum(self.low, other.low))
        self.high = float(np.maximum(self.high, other.high))
        self.magnitudes = self.magnitudes + other.magnitudes

    @property
    def largest(self) -> float:
        """Largest magnitude."""
        return float(np.maximum(abs(self.low), abs(self.high)))


@dataclasses.dataclass
class Records:
    """What passed through a graph.

    Attributes:
        tensors: By name: what dense layers, products, norms, GELUs and means answer; of a LayerNorm also
            `/variance`, and of a product with attention weights `/unnormalized` (see `row_gain`).
        summands: Names of those that are added to the residual stream, in order.
    """

    tensors: dict[str, Record] = dataclasses.field(default_factory=dict)
    summands: list[str] = dataclasses.field(default_factory=list)


def row_gain(row_sums: Array) -> Array:
    """What the unnormalised attention weights of a row are multiplied by, given their sum.

    exp(score - largest score) is at most 1, and its sum over a row is 1 to the number of tokens. Weights
    divided by that sum would leave rows of many like weights few steps of int8; weights not divided by
    it would leave rows of one large weight few steps in the product. The root of the sum halves both.
    """
    return np.asarray(1 / np.sqrt(row_sums))


class RecordingOperators(TensorFlowOperators):
    """Computes eagerly and records.

    Args:
        records: Where the record goes; one over several batches.
    """

    def __init__(self, records: Records) -> None:
        super().__init__(lambda values, _: tf.constant(values, tf.float32))
        self._records = records
        self._names: dict[int, str] = {}
        self._row_sums: dict[int, Any] = {}
        # A tensor that were gone would leave its id to another.
        self._alive: list[Any] = []

    def _recorded(self, value: Any, name: str, values: Any = None) -> Any:
        name = self._scope + name
        self._names[id(value)] = name
        self._alive.append(value)
        self._record(value if values is None else values, name)
        return value

    def _record(self, values: Any, name: str, *, instead: bool = False) -> None:
        record = _record_of(values)
        if name in self._records.tensors and not instead:
            self._records.tensors[name].add(record)
        else:
            self._records.tensors[name] = record

    def dense(self, x: Any, layer: Dense, name: str) -> Any:
        return self._recorded(super().dense(x, layer, name), name)

    def product(self, x: Any, y: Any, name: str, *, transpose_y: bool = False) -> Any:
        product = super().product(x, y, name, transpose_y=transpose_y)
        sums = self._row_sums.get(id(x))
        if sums is not None:
            scaled = product * (sums * row_gain(sums.numpy()))
            self._record(scaled, f"{self._scope}{name}/unnormalized")
            return self._recorded(product, name)
        # What its mask hides does not count: see `add`.
        self._names[id(product)] = self._scope + name
        self._alive.append(product)
        return product

    def add(self, x: Any, y: Any, name: str) -> Any:
        total = super().add(x, y, name)
        self._alive.append(total)
        if not isinstance(y, np.ndarray):
            for summand in (x, y):
                self._summand(summand)
        elif y.min() < MASKED_BELOW:
            self._record(tf.boolean_mask(total, total > MASKED_BELOW), self._names[id(x)])
        else:
            self._summand(x)
        return total

    def _summand(self, x: Any) -> None:
        name = self._names.get(id(x))
        if name is not None and name not in self._records.summands:
            self._records.summands.append(name)

    def layer_norm(self, x: Any, layer: LayerNorm, width: int, name: str) -> Any:
        variance = tf.math.reduce_variance(x, axis=-1)
        self._record(variance, f"{self._scope}{name}/variance")
        return self._recorded(super().layer_norm(x, layer, width, name), name)

    def gelu(self, x: Any, name: str) -> Any:
        return self._recorded(super().gelu(x, name), name)

    def softmax(self, x: Any, name: str) -> Any:
        weights = super().softmax(x, name)
        shifted = tf.exp(x - tf.reduce_max(x, axis=-1, keepdims=True))
        self._row_sums[id(weights)] = tf.reduce_sum(shifted, axis=-1, keepdims=True)
        self._alive.append(weights)
        return weights

    def mean(self, x: Any, axis: int, name: str) -> Any:
        return self._recorded(super().mean(x, axis, name), name)

    def reshape(self, x: Any, shape: Sequence[int], name: str) -> Any:
        reshaped = super().reshape(x, shape, name)
        self._alive.append(reshaped)
        if id(x) in self._names:
            self._names[id(reshaped)] = self._names[id(x)]
        if id(x) in self._row_sums:
            self._row_sums[id(reshaped)] = tf.reshape(self._row_sums[id(x)], (*shape[:-1], 1))
        return reshaped

    def transpose(self, x: Any, order: Sequence[int], name: str) -> Any:
        transposed = super().transpose(x, order, name)
        self._alive.append(transposed)
        if id(x) in self._names:
            self._names[id(transposed)] = self._names[id(x)]
        return transposed


def _record_of(values: Any) -> Record:
    array = np.asarray(values)
    magnitudes = np.abs(array.ravel())
    with np.errstate(divide="ignore", invalid="ignore"):
        octaves = np.log2(magnitudes)
    counts, _ = np.histogram(octaves, bins=_BINS, range=(-_OCTAVES, _OCTAVES))
    return Record(float(array.min()), float(array.max()), counts)
