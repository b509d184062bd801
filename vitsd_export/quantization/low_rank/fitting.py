"""Fits a head of low rank to the answers of the head that it stands for.

No labels are needed: what the whole head answers is what is learned (Hinton et al., 2015,
arXiv:1503.02531, at temperature 1). Of the two layers that a wide layer became, the second is fitted. The
first, which holds most of the weights, stays: fitted too, it follows the images at hand and diverges more on
others.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from vitsd_export.lowering.graph import Array, Dense, Graph, Head, LowRankDense
from vitsd_export.quantization.calibration.graph_runner import answers_to_tokens, token_batches

_STEPS = 400
_BATCH = 64
_WARMUP_STEPS = 30
_LEARNING_RATE = 1e-3
# Adam's, as published but for the decay of the squares: a run is short.
_MOMENTUM, _DECAY, _EPSILON = 0.9, 0.99, 1e-8


@dataclasses.dataclass(frozen=True, eq=False)
class _Step:
    """A layer of a head, as it is computed.

    Attributes:
        kernel: [inputs, outputs] float32 tensor or variable.
        bias: [outputs]; None without one.
        role: `reduction` and `expansion` are those of a layer of low rank.
        gelu: Whether GELU follows.
    """

    kernel: Any
    bias: Any
    role: str
    gelu: bool

    def __call__(self, x: Any) -> Any:
        y = tf.linalg.matmul(x, self.kernel)
        if self.bias is not None:
            y = tf.nn.bias_add(y, self.bias)
        return tf.nn.gelu(y) if self.gelu else y


def fit_head(small: Graph, whole: Graph, tokens: np.ndarray) -> Graph:
    """Returns the graph `small`, whose head of low rank then answers more like the head of `whole`.

    Adam minimises the mean Kullback–Leibler divergence of the answers to `tokens`, [N, tokens, dim] float32:
    what the encoder of both answers to training images. It takes seconds, and the same images give the same
    graph.
    """
    head = small.head
    if head is None:
        raise ValueError("The graph has no head.")
    steps = _steps(head)
    fitted = [
        part for step in steps if step.role == "expansion" for part in (step.kernel, step.bias)
    ]
    # What comes before the first fitted layer is computed once: nearly all of the multiply-adds.
    first = next(number for number, step in enumerate(steps) if step.role == "expansion")
    entering = np.concatenate(
        [_run(steps[:first], _pooled(head, batch)).numpy() for batch in token_batches(tokens)]
    )
    wanted = answers_to_tokens(dataclasses.replace(whole, softmax=True), tokens)
    _minimise(steps[first:], fitted, entering, wanted)
    return dataclasses.replace(small, head=_with_expansions(head, steps))


def _steps(head: Head) -> list[_Step]:
    steps = []
    for layer in head.hidden:
        if isinstance(layer, LowRankDense):
            steps.append(_step(layer.reduction, "reduction", gelu=False))
            steps.append(_step(layer.expansion, "expansion", gelu=True))
        else:
            steps.append(_step(layer, "whole", gelu=True))
    return [*steps, _step(head.logits, "logits", gelu=False)]


def _step(layer: Dense, role: str, *, gelu: bool) -> _Step:
    make = tf.Variable if role == "expansion" else tf.constant
    bias = None if layer.bias is None else make(layer.bias.astype(np.float32))
    return _Step(make(layer.kernel.astype(np.float32)), bias, role, gelu)


def _pooled(head: Head, tokens: np.ndarray) -> np.ndarray:
    return tokens.reshape(len(tokens), -1) if head.pooling == "flatten" else tokens.mean(axis=1)


def _run(steps: Sequence[_Step], x: Any) -> Any:
    for step in steps:
        x = step(x)
    return x


def _minimise(
    steps: Sequence[_Step], fitted: Sequence[Any], entering: np.ndarray, wanted: Array
) -> None:
    """Fits variables until the logits of `steps` of `entering` have the softmax `wanted`."""
    moments = [(tf.Variable(tf.zeros_like(x)), tf.Variable(tf.zeros_like(x))) for x in fitted]

    @tf.function(autograph=False)
    def descend(x: Any, p: Any, rate: Any, number: Any) -> None:
        with tf.GradientTape() as tape:
            # The cross-entropy is the divergence but for a constant.
            losses = tf.nn.softmax_cross_entropy_with_logits(p, _run(steps, x))
            loss = tf.reduce_mean(losses)
        for variable, gradient, (mean, square) in zip(
            fitted, tape.gradient(loss, fitted), moments, strict=True
        ):
            mean.assign(_MOMENTUM * mean + (1 - _MOMENTUM) * gradient)
            square.assign(_DECAY * square + (1 - _DECAY) * gradient**2)
            size = tf.sqrt(square / (1 - _DECAY**number)) + _EPSILON
            variable.assign_sub(rate * mean / (1 - _MOMENTUM**number) / size)

    rng = np.random.default_rng(0)
    rounds = 1 + _STEPS * _BATCH // len(entering)
    order = np.concatenate([rng.permutation(len(entering)) for _ in range(rounds)])
    for number in range(_STEPS):
        batch = order[number * _BATCH : (number + 1) * _BATCH]
        rate = _LEARNING_RATE * min(1, (number + 1) / _WARMUP_STEPS) * (1 - number / _STEPS)
        x, p = tf.constant(entering[batch]), tf.constant(wanted[batch])
        descend(x, p, tf.constant(rate, tf.float32), tf.constant(number + 1, tf.float32))


def _with_expansions(head: Head, steps: Sequence[_Step]) -> Head:
    expansions = iter([step for step in steps if step.role == "expansion"])
    hidden: list[Dense | LowRankDense] = []
    for layer in head.hidden:
        if isinstance(layer, LowRankDense):
            found = next(expansions)
            expansion = Dense(found.kernel.numpy(), found.bias.numpy())
            layer = dataclasses.replace(layer, expansion=expansion)
        hidden.append(layer)
    return dataclasses.replace(head, hidden=tuple(hidden))
