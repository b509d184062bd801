"""Gradients of a model's loss, whatever the backend."""

from typing import Any

import keras
import numpy as np


def logits_and_gradients(
    model: keras.Model, pixels: np.ndarray, answers: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns the logits, and the gradient of their products' sum by each trainable weight.

    Args:
        model: Maps pixels to logits; called as in training.
        pixels: [N, size, size, 3].
        answers: [N, classes], by which the logits are multiplied.
    """
    backend = keras.backend.backend()
    convert = keras.ops.convert_to_numpy
    if backend == "jax":
        import jax

        def loss(weights: Any) -> tuple[Any, Any]:
            others = [v.value for v in model.non_trainable_variables]
            logits, _ = model.stateless_call(weights, others, pixels, training=True)
            return keras.ops.sum(logits * answers), logits

        weights = [v.value for v in model.trainable_variables]
        # Compiled as a whole: operator by operator takes far longer.
        gradients, logits = jax.jit(jax.grad(loss, has_aux=True))(weights)
        return convert(logits), [convert(gradient) for gradient in gradients]
    if backend == "torch":
        import torch

        logits = model(pixels, training=True)
        gradients = torch.autograd.grad(
            keras.ops.sum(logits * keras.ops.convert_to_tensor(answers)),
            [v.value for v in model.trainable_variables],
            allow_unused=True,
            materialize_grads=True,
        )
        return convert(logits), [convert(gradient) for gradient in gradients]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        logits = model(pixels, training=True)
        total = tf.reduce_sum(logits * answers)
    gradients = tape.gradient(
        total,
        [v.value for v in model.trainable_variables],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return convert(logits), [convert(gradient) for gradient in gradients]
