"""What the layers of a lowered graph's head answer, and how the graph's answers depend on it."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from vitsd_export.lowering.graph import Graph
from vitsd_export.lowering.program import classify
from vitsd_export.lowering.tensorflow_operators import Variables
from vitsd_export.quantization.calibration.graph_runner import (
    ObservedOperators,
    token_batches,
    token_spec,
)


def head_outputs(
    graph: Graph, tokens: np.ndarray, layers: tuple[str, ...]
) -> Iterator[dict[str, np.ndarray]]:
    """Yields outputs of the head's layers, a batch of images at a time.

    Args:
        graph: A graph with a head.
        tokens: [N, tokens, dim] float32: what the graph without its head answers.
        layers: Names of layers of the head.

    Yields:
        [batch, width] by name.
    """
    outputs, _ = _functions(graph, layers)
    for batch in token_batches(tokens):
        yield {name: value.numpy() for name, value in outputs(batch).items()}


def head_derivatives(
    graph: Graph, tokens: np.ndarray, layers: tuple[str, ...]
) -> Iterator[dict[str, np.ndarray]]:
    """Yields the Fisher information of the answers about the head's layers, a batch of images at a time.

    Args:
        graph: As `head_outputs` takes it.
        tokens: As `head_outputs` takes them.
        layers: As `head_outputs` takes them.

    Yields:
        [width, width] by name: the sum over the batch of Jᵀ (diag(p) - p pᵀ) J, where J is the derivative of
        the logits by the layer's outputs and p their softmax.
    """
    _, information = _functions(graph, layers)
    for batch in token_batches(tokens):
        yield {name: value.numpy() for name, value in information(batch).items()}


def _functions(
    graph: Graph, layers: tuple[str, ...]
) -> tuple[Callable[[Any], dict[str, Any]], Callable[[Any], dict[str, Any]]]:
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
