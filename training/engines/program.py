"""What a training step computes, whatever the backend."""

import dataclasses
from typing import Any

import keras
from keras import ops

from training.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class Program:
    """A model with all that its training step needs beside the data.

    Attributes:
        model: Maps raw pixels [N, size, size, 3] to logits [N, classes].
        optimizer: Built on the model's trainable variables.
        recipe: Hyperparameters.
        compile: Whether XLA compiles the step, on backends where it is a choice.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    recipe: Recipe
    compile: bool = True

    def loss(self, targets: Any, logits: Any, teacher: Any = None) -> Any:
        """Returns the mean cross-entropy, a scalar in nats.

        With a teacher it is (1 - w)·H(y, softmax z) + w·T²·H(softmax t/T, softmax z/T) of Hinton et al.
        (2015, arXiv:1503.02531), where H is the cross-entropy, y the smoothed labels, and z and t are both
        models' logits.

        Args:
            targets: [N, classes] float32, shares of the classes.
            logits: [N, classes] float32.
            teacher: [N, classes] float32 logits, or None.
        """
        smoothing = self.recipe.loss.label_smoothing
        targets = targets * (1.0 - smoothing) + smoothing / targets.shape[-1]
        loss = _cross_entropy(targets, logits)
        if teacher is None:
            return loss
        share = self.recipe.distillation.weight
        temperature = self.recipe.distillation.temperature
        soft = ops.softmax(teacher / temperature, axis=-1)
        taught = _cross_entropy(soft, logits / temperature) * temperature**2
        return (1.0 - share) * loss + share * taught

    def figures(self, loss: Any, targets: Any, logits: Any) -> Any:
        """Returns [2] float32: the loss and the right answers, summed over the batch.

        An answer is right that names the class with the greater share in the image.
        """
        right = ops.equal(ops.argmax(logits, axis=-1), ops.argmax(targets, axis=-1))
        count = ops.cast(ops.shape(logits)[0], "float32")
        return ops.stack([loss * count, ops.sum(ops.cast(right, "float32"))])


def _cross_entropy(targets: Any, logits: Any) -> Any:
    return -ops.mean(ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1))
