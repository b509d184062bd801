"""How much each layer costs if it alone is quantized.

In an artifact noise adds up from layer to layer. Here all layers but one stay in float32, so that what the
answers lose is that layer's own: this decides which layers to leave in float. The layer's weights are
rounded to the nearest of 2 · levels + 1 integers times a scale for each output, its inputs to 8 bits over the
range of each row.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from vitsd_export.lowering.dense_layers import dense_layers
from vitsd_export.lowering.graph import Array, Dense, Graph
from vitsd_export.lowering.program import compute
from vitsd_export.lowering.tensorflow_operators import TensorFlowOperators, Variables
from vitsd_export.quantization.calibration.graph_runner import image_batches, image_spec

_STEPS = 255


@dataclasses.dataclass(frozen=True)
class IsolatedLayer:
    """A layer that alone was quantized.

    Attributes:
        name: Name of its operator.
        sqnr: Signal-to-quantization-noise ratio of the logits in decibels; infinite if nothing changed.
        agreement: Share of images of which the same class is named as in float32, 0–1.
        top1_loss: Loss of top-1 accuracy in percentage points; None without labels.
    """

    name: str
    sqnr: float
    agreement: float
    top1_loss: float | None


def isolated_sensitivity(
    graph: Graph,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    levels: int = 127,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[IsolatedLayer, ...]:
    """Quantizes one layer after the other.

    Args:
        graph: A lowered graph with a head.
        images: [N, size, size, 3] uint8 training images.
        labels: [N] integers of the graph's classes.
        levels: Largest integer of the weights: 127 for 8 bits, 7 for 4.
        progress: Called with a message for each layer.

    Returns:
        The layers, those that lose most first.

    Raises:
        InputError: If the images are not what the graph takes.
    """
    layers = dense_layers(graph)
    logits_graph = dataclasses.replace(graph, softmax=False)
    variables = Variables()

    @tf.function(input_signature=[image_spec(graph), tf.TensorSpec((), tf.int32)], autograph=False)
    def run(image: Any, chosen: Any) -> Any:
        operators = _OneQuantized(variables, tuple(layers), chosen, levels)
        return compute(logits_graph, operators, image, "logits")

    def logits(chosen: int) -> Array:
        batches = [run(batch, chosen).numpy() for batch in image_batches(graph, images)]
        return np.concatenate(batches).astype(np.float64)

    expected = logits(-1)
    classes = expected.argmax(axis=1)
    found = []
    for number, name in enumerate(layers):
        progress(f"quantizing {name} alone")
        answer = logits(number)
        loss = None
        if labels is not None:
            loss = 100 * float(np.mean(classes == labels) - np.mean(answer.argmax(1) == labels))
        noise = float(np.square(answer - expected).sum())
        signal = float(np.square(expected).sum())
        sqnr = 10 * math.log10(signal / noise) if noise and signal else math.inf
        agreement = float(np.mean(answer.argmax(axis=1) == classes))
        found.append(IsolatedLayer(name, sqnr, agreement, loss))
    return tuple(sorted(found, key=lambda layer: layer.sqnr))


class _OneQuantized(TensorFlowOperators):
    """TensorFlow's operators with one dense layer quantized.

    Args:
        variables: Makes weights.
        names: Names of the layers.
        chosen: Number of the layer in `names`, a tensor; -1 for none.
        levels: Largest integer of the weights.
    """

    def __init__(
        self, variables: Variables, names: tuple[str, ...], chosen: Any, levels: int
    ) -> None:
        super().__init__(variables)
        self._names, self._chosen, self._levels = names, chosen, levels

    def dense(self, x: Any, layer: Dense, name: str) -> Any:
        if self._scope + name not in self._names:
            return super().dense(x, layer, name)
        is_chosen = tf.equal(self._chosen, self._names.index(self._scope + name))
        rounded = Dense(_round_weights(layer.kernel, self._levels), layer.bias)
        return tf.cond(
            is_chosen,
            lambda: super(_OneQuantized, self).dense(_round_rows(x), rounded, f"{name}/quantized"),
            lambda: super(_OneQuantized, self).dense(x, layer, name),
        )


def _round_weights(kernel: Array, levels: int) -> Array:
    span = np.abs(kernel).max(axis=0)
    scale = np.where(span == 0, 1, span) / levels
    return np.asarray(np.round(kernel / scale) * scale)


def _round_rows(x: Any) -> Any:
    """Rounds each row of x to 8 bits over a range of its own that holds zero."""
    low = tf.minimum(tf.reduce_min(x, axis=-1, keepdims=True), 0.0)
    high = tf.maximum(tf.reduce_max(x, axis=-1, keepdims=True), 0.0)
    step = tf.maximum((high - low) / _STEPS, np.finfo(np.float32).tiny)
    return tf.round((x - low) / step) * step + low
