"""The directions of a head layer's outputs that matter to the model's answers.

A dense layer answers y = x W + b. Keeping of y - E[y] only its part in a subspace of r dimensions,

    ŷ = E[y] + (y - E[y]) P,        P of rank r,

is a layer of kernels W P₁ [inputs, r] and P₂ [r, outputs], P = P₁ P₂: r (inputs + outputs) weights in place
of inputs · outputs. Which subspace is best is a question of the images, not of W: the singular vectors of W
treat all inputs alike, but real tokens lie in few directions (reduced-rank regression: Izenman, 1975,
doi:10.1016/0047-259X(75)90042-1).

It is also a question of what follows. To second order, the answers' probabilities change by

    KL(p ‖ p̂) = ½ (ŷ - y) F (ŷ - y)ᵀ,        F = Jᵀ (diag(p) - p pᵀ) J,        J = ∂ logits / ∂ y,

the Fisher information (Amari, 1998, doi:10.1162/089976698300017746). With its mean over the images M = L Lᵀ
in place of F, the loss E[‖(ŷ - y) L‖²] is least where P = L V Vᵀ L⁻¹, V the first r eigenvectors of
Lᵀ Cov(y) L (Eckart and Young, 1936). Only matrices [outputs, outputs] are summed up over the images.

Few images tell few directions. Their covariance is joined by the one that the layer would have on inputs that
are all alike and independent, Wᵀ W, which weighs as much as `_PRIOR_IMAGES` images: so a rank may exceed the
number of images. Views of the images, see `image_views`, tell more of them.

The r numbers between the two layers have mean zero, and standard deviations √λ that span orders of magnitude.
An 8-bit range of all of them would serve the first alone, and 8-bit weights after them would too if they had
one standard deviation: so each is divided by √√λ, half way.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from vitsd_export.errors import InputError
from vitsd_export.lowering.graph import Array, Dense, Graph, LowRankDense
from vitsd_export.lowering.program import classify
from vitsd_export.lowering.tensorflow_operators import Variables
from vitsd_export.quantization.calibration.graph_runner import (
    ObservedOperators,
    token_batches,
    token_spec,
)

# Added to the Fisher information, by its mean eigenvalue, so that it has an inverse. Zero, a tenth and a
# whole are equally good on held-out images.
_RIDGE = 0.1
# Eigenvalues below this share of the first are noise.
_SMALLEST_EIGENVALUE = 1e-12
_ROWS_AT_ONCE = 512
# From a tenth of this to three times as many are equally good.
_PRIOR_IMAGES = 32
# The Fisher information costs a hundred times what an output does, and its mean over some hundred images is
# as good as over thousands.
_FISHER_IMAGES = 512

_Function = Callable[[Any], dict[str, Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class OutputStatistics:
    """A layer's outputs over the calibration images.

    Attributes:
        images: Number of images.
        mean: [outputs].
        covariance: [outputs, outputs].
        fisher: [outputs, outputs]: mean Fisher information of the answers about these outputs.
    """

    images: int
    mean: Array
    covariance: Array
    fisher: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Subspace:
    """The directions of a layer's outputs, those that matter most first.

    Attributes:
        mean: [outputs] mean output.
        forward: [outputs, outputs]: its first r columns are P₁.
        backward: [outputs, outputs]: its first r rows are P₂.
        loss: [outputs] share of Σλ that is lost if only the directions before one are kept; loss[0] is 1.
    """

    mean: Array
    forward: Array
    backward: Array
    loss: Array


def head_statistics(
    graph: Graph, tokens: np.ndarray, layers: tuple[str, ...]
) -> dict[str, OutputStatistics]:
    """Sums up the outputs of the named layers of a head and how the answers depend on them.

    `tokens` are [N, tokens, dim] float32: what the graph without its head answers.

    Raises:
        InputError: If an output is not finite.
    """
    outputs, information = _functions(graph, layers)
    sums: dict[str, Any] = dict.fromkeys(layers, 0.0)
    squares, fisher = dict(sums), dict(sums)
    for batch in token_batches(tokens):
        for name, y in outputs(batch).items():
            wide = y.numpy().astype(np.float64)
            sums[name] = sums[name] + wide.sum(axis=0)
            squares[name] = squares[name] + wide.T @ wide
    few = tokens[:_FISHER_IMAGES]
    for batch in token_batches(few):
        for name, found in information(batch).items():
            fisher[name] = fisher[name] + (found.numpy() / len(few)).astype(np.float64)
    result = {}
    for name in layers:
        mean = sums[name] / len(tokens)
        covariance = squares[name] / len(tokens) - np.outer(mean, mean)
        if not (np.isfinite(covariance).all() and np.isfinite(fisher[name]).all()):
            raise InputError(
                f"The layer {name} answers calibration images with NaN or infinity. The model has such "
                "weights; train or save it again."
            )
        result[name] = OutputStatistics(len(tokens), mean, covariance, fisher[name])
    return result


def _functions(graph: Graph, layers: tuple[str, ...]) -> tuple[_Function, _Function]:
    """Returns functions of a batch of tokens, each with results by the layer's name.

    The first returns the layers' outputs [batch, width]; the second the Fisher information of the answers
    about them, summed over the batch, [width, width].
    """
    head = graph.head
    if head is None:
        raise ValueError("The graph has no head.")
    without_softmax = dataclasses.replace(graph, softmax=False)
    variables = Variables()
    compiled = tf.function(input_signature=[token_spec(graph)], autograph=False)

    @compiled
    def outputs(tokens: Any) -> dict[str, Any]:
        operators = ObservedOperators(variables)
        classify(without_softmax, head, operators, tokens, "logits")
        return {name: operators.seen[name][1] for name in layers}

    @compiled
    def information(tokens: Any) -> dict[str, Any]:
        operators = ObservedOperators(variables)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(tokens)
            logits = classify(without_softmax, head, operators, tokens, "logits")
        probabilities = tf.nn.softmax(logits)[:, :, None]
        found = {}
        for name in layers:
            jacobian = tape.batch_jacobian(logits, operators.seen[name][1])
            # diag(p) - p pᵀ is the covariance of a class drawn from p, so that the rows of J can be centred
            # and weighted by √p.
            mean = tf.reduce_sum(probabilities * jacobian, axis=1, keepdims=True)
            rows = tf.sqrt(probabilities) * (jacobian - mean)
            rows = tf.reshape(rows, (-1, jacobian.shape[-1]))
            found[name] = tf.matmul(rows, rows, transpose_a=True)
        return found

    return outputs, information


def with_prior(statistics: OutputStatistics, layer: Dense) -> OutputStatistics:
    """Returns a layer's statistics with its covariance joined by that of inputs alike and independent."""
    kernel = layer.kernel.astype(np.float32)
    prior = (kernel.T @ kernel).astype(np.float64)
    total = float(np.trace(prior))
    if not total:
        return statistics
    share = _PRIOR_IMAGES / statistics.images * float(np.trace(statistics.covariance)) / total
    return dataclasses.replace(statistics, covariance=statistics.covariance + share * prior)


def find_subspace(statistics: OutputStatistics, name: str) -> Subspace:
    """Finds the directions of the named layer's outputs that matter to the answers.

    Raises:
        InputError: If the outputs are all alike, or nothing depends on them.
    """
    covariance, fisher = statistics.covariance, statistics.fisher
    width = len(fisher)
    mean_eigenvalue = float(np.trace(fisher)) / width
    spread = float(np.trace(covariance))
    # The variance of equal numbers is rounding.
    alike = spread <= 1e-10 * float(np.square(statistics.mean).sum())
    if alike or not spread or not mean_eigenvalue:
        raise InputError(
            f"The layer {name} answers all {statistics.images} calibration images alike, or its answer does "
            "not matter: there is nothing to choose directions by. Calibrate on different images like "
            "those that the model will see; if they are, its weights are constant and it needs training."
        )
    factor = np.linalg.cholesky(fisher + _RIDGE * mean_eigenvalue * np.eye(width))
    values, vectors = np.linalg.eigh(factor.T @ covariance @ factor)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    balance = np.maximum(values, _SMALLEST_EIGENVALUE * values[0]) ** 0.25
    kept = np.concatenate([[0], np.cumsum(values)[:-1]]) / values.sum()
    return Subspace(
        mean=statistics.mean,
        forward=factor @ (vectors / balance),
        backward=np.linalg.solve(factor.T, vectors * balance).T,
        loss=1 - kept,
    )


def factor(layer: Dense, subspace: Subspace, rank: int) -> LowRankDense:
    """Returns a layer that answers in the first `rank` directions of the subspace of its outputs."""
    forward, backward = subspace.forward[:, :rank], subspace.backward[:rank]
    bias = np.zeros(len(subspace.mean)) if layer.bias is None else layer.bias
    kernel = np.concatenate(
        [
            # A part at a time: a copy of a large kernel in float64 would take twice its memory.
            layer.kernel[start : start + _ROWS_AT_ONCE].astype(np.float64) @ forward
            for start in range(0, len(layer.kernel), _ROWS_AT_ONCE)
        ]
    )
    return LowRankDense(
        Dense(kernel, (bias - subspace.mean) @ forward), Dense(backward, subspace.mean)
    )
