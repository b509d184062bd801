"""What a training step computes, whatever the backend."""

import dataclasses
from typing import Any

import keras
from keras import ops

from training.augmentation.draws import interpolates
from training.augmentation.pipeline import augment
from training.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class Program:
    """A model with all that its training step needs beside the data.

    Attributes:
        model: Maps raw pixels [N, size, size, 3] to logits [N, classes].
        optimizer: Built on the model's trainable variables.
        recipe: Hyperparameters.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    recipe: Recipe

    def batch(self, images: Any, labels: Any, draws: dict[str, Any]) -> tuple[Any, Any]:
        """Looks a step's images up and augments them.

        Args:
            images: All training images [count, size, size, 3] uint8.
            labels: Their labels [count] int32.
            draws: The step's draws, [batch, …] each.

        Returns:
            Pixels [batch, size, size, 3] and targets [batch, classes], float32.
        """
        index = draws["index"]
        targets = ops.one_hot(
            ops.take(labels, index, axis=0), self.model.output_shape[-1], dtype="float32"
        )
        return augment(
            ops.take(images, index, axis=0), targets, draws, interpolate=interpolates(self.recipe)
        )

    def loss(self, targets: Any, logits: Any) -> Any:
        """Returns the mean cross-entropy with smoothed labels, a scalar in nats."""
        smoothing = self.recipe.loss.label_smoothing
        targets = targets * (1.0 - smoothing) + smoothing / targets.shape[-1]
        return -ops.mean(ops.sum(targets * ops.log_softmax(logits), axis=-1))

    def figures(self, loss: Any, targets: Any, logits: Any) -> Any:
        """Returns [2] float32: the loss and the right answers, summed over the batch.

        An answer is right that names the class with the greater share in the image.
        """
        right = ops.equal(ops.argmax(logits, axis=-1), ops.argmax(targets, axis=-1))
        count = ops.cast(ops.shape(logits)[0], "float32")
        return ops.stack([loss * count, ops.sum(ops.cast(right, "float32"))])
