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

Progress = Callable[[int], None]
Observations = dict[str, tuple[np.ndarray, np.ndarray]]


def answers(graph: Graph, images: np.ndarray, progress: Progress = lambda _: None) -> np.ndarray:
    """Returns what a graph answers.

    Args:
        graph: With a head or without.
        images: [N, size, size, 3] uint8 pixels.
        progress: Called with the number of images done.

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
        [run(batch).numpy() for batch in image_batches(graph, images, progress)], dtype=np.float32
    )


def answers_to_tokens(graph: Graph, tokens: np.ndarray) -> np.ndarray:
    """Returns what a graph's head answers.

    Args:
        graph: With a head.
        tokens: [N, tokens, dim] float32: what the graph without its head answers.

    Returns:
        [N, classes] float32 logits or probabilities.
    """
    head = graph.head
    if head is None:
        raise ValueError("The graph has no head.")

    variables = Variables()

    @_function(token_spec(graph))
    def run(x: Any) -> Any:
        return classify(graph, head, ObservedOperators(variables), x, "answer")

    return np.concatenate([run(batch).numpy() for batch in token_batches(tokens)], dtype=np.float32)


def observe(
    graph: Graph,
    images: np.ndarray,
    layers: Collection[str],
    progress: Progress = lambda _: None,
) -> Iterator[Observations]:
    """Yields what enters and leaves dense layers, a batch of images at a time.

    Args:
        graph: The graph.
        images: [N, size, size, 3] uint8 pixels.
        layers: Names of layers, as `dense_layers` tells them.
        progress: Called with the number of images done.

    Yields:
        The inputs [rows, inputs] and the outputs [rows, outputs] by name, float32. A row is a token, or an
        image in the head.

    Raises:
        InputError: If the images are not what the graph takes.
    """
    run = observer(graph, layers)
    for batch in image_batches(graph, images, progress):
        yield run(batch)


def observer(graph: Graph, layers: Collection[str]) -> Callable[[np.ndarray], Observations]:
    """Returns a function that does for one batch of images what `observe` does for all."""
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


def image_batches(
    graph: Graph, images: np.ndarray, progress: Progress = lambda _: None
) -> Iterator[np.ndarray]:
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
    done = 0
    for batch in token_batches(images):
        yield batch
        done += len(batch)
        progress(done)


def token_batches(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yields what the encoder answers by the batch."""
    for start in range(0, len(values), _BATCH):
        yield values[start : start + _BATCH]


def _function(spec: Any) -> Callable[[Callable[[Any], Any]], Any]:
    decorate: Callable[[Callable[[Any], Any]], Any] = tf.function(
        input_signature=[spec], autograph=False
    )
    return decorate
