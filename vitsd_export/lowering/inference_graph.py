"""The function that is exported: uint8 image in, probabilities out."""

from typing import Any, Literal

import tensorflow as tf

from vitsd_export.errors import UsageError
from vitsd_export.model.checkpoint import LoadedModel

InputType = Literal["uint8", "float32"]
OutputMeaning = Literal["probabilities", "logits"]

INPUT_NAME = "image"


class InferenceGraph(tf.Module):
    """A trained classifier as one TensorFlow function.

    Attributes:
        image_size: Height and width of the image, in pixels.
        num_classes: Length of the answer.
        input_type: `uint8`, or `float32` pixel values 0–255.
        output: `probabilities` or `logits`; also the name of the output tensor.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        answers_probabilities: bool,
        input_type: InputType = "uint8",
        output: OutputMeaning = "probabilities",
    ) -> None:
        """Wraps a model.

        Args:
            loaded: The model.
            answers_probabilities: Whether its own output is already a softmax.
            input_type: Element type of the image.
            output: What the function returns.

        Raises:
            UsageError: If logits are asked of a model that hides them behind its softmax.
        """
        super().__init__(name="inference")
        if output == "logits" and answers_probabilities:
            raise UsageError(
                f"{loaded.path} ends in a softmax, so its logits are not to be had. Export "
                "probabilities."
            )
        self.model = loaded.model
        self.image_size = loaded.image_size
        self.num_classes = loaded.num_classes
        self.input_type = input_type
        self.output = output
        self._softmax = output == "probabilities" and not answers_probabilities

    def concrete_function(self, batch: int | None) -> Any:
        """Traces the function.

        Args:
            batch: Number of images in a call; None to leave it open.

        Returns:
            A ConcreteFunction of `image` [batch, size, size, 3] that returns a dict with the one output
            [batch, num_classes] float32.
        """
        image = tf.TensorSpec(
            (batch, self.image_size, self.image_size, 3), self.input_type, INPUT_NAME
        )
        return tf.function(self._answer, input_signature=[image]).get_concrete_function()

    def _answer(self, image: Any) -> dict[str, Any]:
        scores = self.model(tf.cast(image, tf.float32), training=False)
        scores = tf.cast(scores, tf.float32)
        if self._softmax:
            scores = tf.nn.softmax(scores)
        return {self.output: tf.ensure_shape(scores, (image.shape[0], self.num_classes))}
