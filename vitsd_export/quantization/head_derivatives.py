"""How the answers of a lowered graph depend on the layers of its head."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from vitsd_export.lowering.graph import Graph
from vitsd_export.lowering.program import classify, compute
from vitsd_export.lowering.tensorflow_operators import Variables
from vitsd_export.quantization.graph_runner import ObservedOperators, image_batches, image_spec


def head_derivatives(
    graph: Graph, images: np.ndarray, layers: tuple[str, ...]
) -> Iterator[dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Yields, a batch of images at a time, outputs of the head's layers and their Fisher information.

    Args:
        graph: A graph with a head.
        images: [N, size, size, 3] uint8 pixels.
        layers: Names of layers of the head.

    Yields:
        By name: outputs [batch, width], and [width, width] the sum over the batch of
        Jᵀ (diag(p) - p pᵀ) J, where J is the derivative of the logits by the outputs and p their softmax.

    Raises:
        InputError: If the images are not what the graph takes.
    """
    head = graph.head
    if head is None:
        raise ValueError("The graph has no head.")
    encoder = dataclasses.replace(graph, head=None)
    without_softmax = dataclasses.replace(graph, softmax=False)
    variables = Variables()

    @tf.function(input_signature=[image_spec(graph)], autograph=False)
    def run(image: Any) -> dict[str, tuple[Any, Any]]:
        operators = ObservedOperators(variables)
        tokens = compute(encoder, operators, image, "tokens")
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(tokens)
            logits = classify(without_softmax, head, operators, tokens, "logits")
        probabilities = tf.nn.softmax(logits)[:, :, None]
        found = {}
        for name in layers:
            outputs = operators.seen[name][1]
            jacobian = tape.batch_jacobian(logits, outputs)
            # diag(p) - p pᵀ is the covariance of a class drawn from p, so that the rows of J can be centred
            # and weighted by √p.
            mean = tf.reduce_sum(probabilities * jacobian, axis=1, keepdims=True)
            rows = tf.sqrt(probabilities) * (jacobian - mean)
            rows = tf.reshape(rows, (-1, outputs.shape[-1]))
            found[name] = (outputs, tf.matmul(rows, rows, transpose_a=True))
        return found

    for batch in image_batches(graph, images):
        yield {
            name: (outputs.numpy(), information.numpy())
            for name, (outputs, information) in run(batch).items()
        }
