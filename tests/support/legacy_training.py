"""Trains, for a step, and saves a vision transformer as people did in 2022, with TF-Keras 2.

Run as a program, so that TF-Keras stays out of the process that reads what it wrote. The layers are
written in the way of that time: shifts and patches by TensorFlow's image functions, a tokenizer that returns
a tuple, positions by an Embedding, a subclassed MultiHeadAttention whose temperature is a bare variable, and
augmentation inside the model.
"""

import argparse
import json
import math
import os
import warnings
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf_keras as keras  # noqa: E402

layers = keras.layers
EPSILON = 1e-6


class ShiftedPatches(layers.Layer):
    """Five shifted copies of the image, cut into patches: (tokens, patches)."""

    def __init__(self, image_size: int, patch_size: int, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image_size, self.patch_size = image_size, patch_size
        self.half = patch_size // 2
        self.flatten = layers.Reshape(((image_size // patch_size) ** 2, -1))
        self.project = layers.Dense(units=dim)
        self.norm = layers.LayerNormalization(epsilon=EPSILON)

    def shifted(self, images: Any, down: int, right: int) -> Any:
        size, half = self.image_size - self.half, self.half
        window = tf.image.crop_to_bounding_box(
            images, half * (1 - down), half * (1 - right), size, size
        )
        return tf.image.pad_to_bounding_box(
            window, half * down, half * right, self.image_size, self.image_size
        )

    def call(self, images: Any) -> Any:
        order = ((0, 0), (1, 0), (0, 1), (1, 1))
        copies = [images, *(self.shifted(images, down, right) for down, right in order)]
        patches = tf.image.extract_patches(
            images=tf.concat(copies, axis=-1),
            sizes=[1, self.patch_size, self.patch_size, 1],
            strides=[1, self.patch_size, self.patch_size, 1],
            rates=[1, 1, 1, 1],
            padding="VALID",
        )
        return self.project(self.norm(self.flatten(patches))), patches


class Positions(layers.Layer):
    """Adds a learnt vector to each token."""

    def __init__(self, tokens: int, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.embedding = layers.Embedding(input_dim=tokens, output_dim=dim)
        self.indices = tf.range(start=0, limit=tokens, delta=1)

    def call(self, tokens: Any) -> Any:
        return tokens + self.embedding(self.indices)


class LocalityAttention(layers.MultiHeadAttention):
    """Attention with a learnt temperature in place of the square root of the width."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tau = tf.Variable(math.sqrt(float(self._key_dim)), trainable=True)

    def _compute_attention(
        self, query: Any, key: Any, value: Any, attention_mask: Any = None, training: Any = None
    ) -> Any:
        query = tf.multiply(query, 1.0 / self.tau)
        scores = tf.einsum(self._dot_product_equation, key, query)
        scores = self._masked_softmax(scores, attention_mask)
        dropped = self._dropout_layer(scores, training=training)
        return tf.einsum(self._combine_equation, dropped, value), scores


def mlp(x: Any, units: list[int], rate: float) -> Any:
    for width in units:
        x = layers.Dense(width, activation=tf.nn.gelu)(x)
        x = layers.Dropout(rate)(x)
    return x


def build(config: dict[str, Any], statistics: Any) -> Any:
    size, image_size, patch = config["input_size"], config["image_size"], config["patch_size"]
    tokens = (image_size // patch) ** 2
    normalization = layers.Normalization()
    normalization.adapt(statistics)
    augmentation = keras.Sequential(
        [
            normalization,
            layers.Resizing(image_size, image_size),
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(factor=0.02),
            layers.RandomZoom(height_factor=0.2, width_factor=0.2),
        ],
        name="data_augmentation",
    )
    inputs = layers.Input(shape=(size, size, 3))
    encoded, _ = ShiftedPatches(image_size, patch, config["dim"])(augmentation(inputs))
    encoded = Positions(tokens, config["dim"])(encoded)
    mask = tf.cast(1 - tf.eye(tokens), dtype=tf.int8)
    for _ in range(config["depth"]):
        x1 = layers.LayerNormalization(epsilon=config["epsilon"])(encoded)
        attended = LocalityAttention(
            num_heads=config["num_heads"], key_dim=config["key_dim"], dropout=0.1
        )(x1, x1, attention_mask=mask)
        x2 = layers.Add()([attended, encoded])
        x3 = layers.LayerNormalization(epsilon=config["epsilon"])(x2)
        encoded = layers.Add()([mlp(x3, config["mlp_units"], 0.1), x2])
    x = layers.LayerNormalization(epsilon=config["epsilon"])(encoded)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    x = mlp(x, config["head_units"], 0.5)
    return keras.Model(inputs, layers.Dense(config["num_classes"])(x))


def spread(model: Any) -> None:
    """Moves every weight away from the zeros and ones that it starts with, and scores from each other."""
    rng = np.random.default_rng(5)
    for weight in model.trainable_weights:
        # Wide layers add many numbers up.
        deviation = np.prod(weight.shape[:-1]) ** -0.5 if len(weight.shape) > 1 else 0.1
        weight.assign_add(np.asarray(rng.normal(0, deviation, weight.shape), np.float32))


def optimizers() -> dict[str, Any]:
    """The AdamW of the time kept its moments as slots of each weight, the later one in a list."""
    return {
        "slots": keras.optimizers.legacy.Adam(1e-3),
        "adamw": keras.optimizers.AdamW(learning_rate=1e-3, weight_decay=1e-4),
    }


def main() -> None:
    """Writes `saved-model`, `weights.h5`, `whole.h5` and `answers.npz`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("config", type=json.loads)
    parser.add_argument("optimizer")
    options = parser.parse_args()
    folder, config = options.folder, options.config
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    size = config["input_size"]
    images = rng.integers(0, 256, (16, size, size, 3)).astype(np.float32)
    labels = rng.integers(0, config["num_classes"], 16)
    model = build(config, images)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers()[options.optimizer], loss, metrics=["accuracy"])
    model.fit(images, labels, batch_size=16, epochs=1, verbose=0)
    spread(model)
    np.savez(
        folder / "answers.npz", images=images, logits=np.asarray(model(images, training=False))
    )
    model.save(folder / "saved-model", save_format="tf")
    model.save_weights(folder / "weights.h5")
    model.save(folder / "whole.h5", include_optimizer=False)


if __name__ == "__main__":
    main()
