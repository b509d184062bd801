"""Runs lowered graphs on images in TensorFlow and tells what happens inside.

No artifact is made for it: what a change of the weights does to the answers is known in seconds.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from vitsd_export.errors import InputError
from vitsd_export.lowering.graph import Dense, Graph
from vitsd_export.lowering.program import classify, compute
from vitsd_export.lowering.tensorflow_operators import TensorFlowOperators, Variables

_BATCH = 32

Observations = dict[str, tuple[np.ndarray, np.ndarray]]


def answers(graph: Graph, images: np.ndarray) -> np.ndarray:
    """Returns a graph's answers to images [N, size, size, 3] uint8.

    Returns:
        [N, classes] float32 logits or probabilities; tokens [N, tokens, dim] without a head.

    Raises:
        InputError: If the images are not what the graph takes.
    """
    variables = Variables()

    @_function(image_spec(graph))
    def run(image: Any) -> Any:
        return compute(graph, ObservedOperators(variables), image, "answer")

    return np.concatenate(
        [run(batch).numpy() for batch in image_batches(graph, images)], dtype=np.float32
    )


def answers_to_tokens(graph: Graph, tokens: np.ndarray) -> np.ndarray:
    """Returns the head's answers [N, classes] to the encoder's answers [N, tokens, dim], all float32."""
    head = graph.head
    if head is None:
        raise ValueError("The graph has no head.")

    variables = Variables()

    @_function(token_spec(graph))
    def run(x: Any) -> Any:
        return classify(graph, head, ObservedOperators(variables), x, "answer")

    return np.concatenate([run(batch).numpy() for batch in token_batches(tokens)], dtype=np.float32)


def observer(graph: Graph, layers: Collection[str]) -> Callable[[np.ndarray], Observations]:
    """Returns a function that runs a batch of images and returns what enters and leaves dense layers.

    The layers have the names of `dense_layers`. The function takes uint8 pixels and returns inputs
    [rows, inputs] and outputs [rows, outputs] by name, float32; a row is a token, or an image in the head.
    """
    variables = Variables()

    @_function(image_spec(graph))
    def run(image: Any) -> Any:
        operators = ObservedOperators(variables)
        # The name of the answer takes the place of the logits' in a graph that ends in them.
        compute(graph, operators, image, "answer" if graph.softmax else "logits")
        return {name: operators.seen[name] for name in layers}

    def convert(batch: np.ndarray) -> Observations:
        return {name: (x.numpy(), y.numpy()) for name, (x, y) in run(batch).items()}

    return convert


class ObservedOperators(TensorFlowOperators):
    """TensorFlow's operators, which remember the dense layers' inputs and outputs.

    Attributes:
        seen: Input and output by name.
    """

    def __init__(self, variables: Variables) -> None:
        super().__init__(variables)
        self.seen: dict[str, tuple[Any, Any]] = {}

    def dense(self, x: Any, layer: Dense, name: str) -> Any:
        y = super().dense(x, layer, name)
        self.seen[self._scope + name] = (x, y)
        return y


def image_spec(graph: Graph) -> Any:
    """Returns TensorFlow's description of a batch of images."""
    return tf.TensorSpec((None, graph.input_size, graph.input_size, 3), tf.uint8)


def token_spec(graph: Graph) -> Any:
    """Returns TensorFlow's description of a batch of what the encoder answers."""
    return tf.TensorSpec((None, graph.tokens, graph.dim), tf.float32)


def image_batches(graph: Graph, images: np.ndarray) -> Iterator[np.ndarray]:
    """Yields images by the batch.

    Raises:
        InputError: If they are not what the graph takes.
    """
    size = graph.input_size
    if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3) or not len(images):
        raise InputError(
            f"The model takes at least one image as uint8 [N, {size}, {size}, 3], RGB pixels 0-255; got "
            f"{images.dtype} {list(images.shape)}. Resize the images to {size} × {size} pixels."
        )
    yield from token_batches(images)


def token_batches(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yields what the encoder answers by the batch."""
    for start in range(0, len(values), _BATCH):
        yield values[start : start + _BATCH]


def _function(spec: Any) -> Callable[[Callable[[Any], Any]], Any]:
    decorate: Callable[[Callable[[Any], Any]], Any] = tf.function(
        input_signature=[spec], autograph=False
    )
    return decorate
