"""The function that is exported: uint8 image in, probabilities out."""

import copy
import dataclasses
from collections.abc import Collection
from typing import Any, Literal

import tensorflow as tf

from vitsd_export.errors import UsageError
from vitsd_export.lowering.graph import Graph
from vitsd_export.lowering.program import compute
from vitsd_export.lowering.reading import OtherArchitecture, read_graph
from vitsd_export.lowering.rewrites import check_names, rewrite
from vitsd_export.lowering.tensorflow_operators import TensorFlowOperators, Variables
from vitsd_export.sources.checkpoint import LoadedModel

InputType = Literal["uint8", "float32"]
OutputMeaning = Literal["probabilities", "logits"]

INPUT_NAME = "image"


class InferenceGraph(tf.Module):
    """A trained classifier as one TensorFlow function, and lowered where its architecture is known.

    Attributes:
        image_size: Height and width of the image, in pixels.
        answer_shape: Shape of the answer to one image: (classes,).
        input_type: `uint8`, or `float32` pixel values 0–255.
        output: `probabilities` or `logits`; also the name of the output tensor.
        lowered: The lowered graph; None for the training graph.
        rewrites: Names of the rewrites that were applied.
        not_lowered_because: Why it is the training graph; None for the lowered one.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        answers_probabilities: bool,
        input_type: InputType = "uint8",
        output: OutputMeaning = "probabilities",
        lowering: bool = True,
        without: Collection[str] = (),
    ) -> None:
        """Wraps a model.

        Args:
            loaded: The model.
            answers_probabilities: Whether its own output is already a softmax.
            input_type: Element type of the image.
            output: What the function returns.
            lowering: Whether the model is lowered if that is possible.
            without: Names of rewrites to leave out.

        Raises:
            UsageError: If logits are asked of a model that hides them behind its softmax, or there is no
                rewrite of a name.
        """
        super().__init__(name="inference")
        if output == "logits" and answers_probabilities:
            raise UsageError(
                f"{loaded.path} ends in a softmax, so it has no logits to export. Export probabilities."
            )
        check_names(without)
        self.model = loaded.model
        self.image_size = loaded.image_size
        self.answer_shape: tuple[int, ...] = (loaded.num_classes,)
        self.input_type = input_type
        self.output = output
        self._softmax = output == "probabilities" and not answers_probabilities
        self._without = frozenset(without)
        self.lowered: Graph | None = None
        self.rewrites: tuple[str, ...] = ()
        self.not_lowered_because: str | None = None if lowering else "lowering is switched off"
        if lowering:
            self._lower(without)
        self._weights = Variables()

    def _lower(self, without: Collection[str]) -> None:
        try:
            graph = read_graph(self.model)
        except OtherArchitecture as difference:
            self.not_lowered_because = f"its architecture is not supported: {difference}"
            return
        # A softmax in the model counts as the output's.
        self._trained = dataclasses.replace(graph, softmax=self.output == "probabilities")
        outcomes = rewrite(self._trained, without)
        self.rewrites = tuple(outcome.rewrite.name for outcome in outcomes if outcome.applied)
        self.lowered = outcomes[-1].graph

    def with_lowered(self, lowered: Graph) -> "InferenceGraph":
        """Returns the same function with another lowered graph."""
        other = copy.copy(self)
        other.lowered = lowered
        other._weights = Variables()
        return other

    def tokenizer_without(self, name: str) -> Graph | None:
        """Returns the lowered graph with the tokenizer as it is without one more rewrite.

        None for the training graph. The rest stays, which may have been changed after the lowering.
        """
        if self.lowered is None:
            return None
        other = rewrite(self._trained, {*self._without, name})[-1].graph
        return dataclasses.replace(self.lowered, tokenizer=other.tokenizer)

    def concrete_function(self, batch: int | None, *, input_type: InputType | None = None) -> Any:
        """Traces the function.

        Args:
            batch: Number of images in a call; None to leave it open.
            input_type: Element type of the image, if not the graph's.

        Returns:
            A ConcreteFunction of `image` [batch, size, size, 3] that returns a dict with the one output
            [batch, *answer_shape] float32.
        """
        shape = (batch, self.image_size, self.image_size, 3)
        image = tf.TensorSpec(shape, input_type or self.input_type, INPUT_NAME)
        return tf.function(self._answer, input_signature=[image]).get_concrete_function()

    def _answer(self, image: Any) -> dict[str, Any]:
        if self.lowered is not None:
            operators = TensorFlowOperators(self._weights)
            answer = compute(self.lowered, operators, image, self.output)
        else:
            scores = self.model(tf.cast(image, tf.float32), training=False)
            scores = tf.cast(scores, tf.float32)
            answer = tf.nn.softmax(scores) if self._softmax else scores
        # Not tf.ensure_shape, an operator that Core ML's converter does not know.
        answer.set_shape((image.shape[0], *self.answer_shape))
        return {self.output: answer}
