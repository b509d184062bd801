"""Layers of the vision transformer for small datasets (Lee et al., 2021, arXiv:2112.13492).

Written in `keras.ops` alone, so that they run on every Keras backend.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

_PACKAGE = "vitsd_export"

# Finite, so that a row which is masked everywhere gives a uniform softmax and not NaN.
MASKED_SCORE = -1e9


@keras.saving.register_keras_serializable(package=_PACKAGE)
class BilinearResize(keras.layers.Layer):
    """Resizes square images bilinearly, half-pixel centres, no antialiasing.

    In place of `keras.layers.Resizing`, whose `training=True` default (Keras 3.15) leaks into the call
    context of the layers after it and switches their nested dropout on at inference.

    Input: [batch, height, width, channels] float. Output: [batch, size, size, channels] float.

    Args:
        size: Height and width of the output, in pixels.
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, images: Any) -> Any:
        return ops.image.resize(
            images, (self.size, self.size), interpolation="bilinear", data_format="channels_last"
        )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.size, self.size, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class ShiftedPatchTokenizer(keras.layers.Layer):
    """Shifted patch tokenization (arXiv:2112.13492, section 3.1).

    The image and its four copies shifted diagonally by half a patch (vacated pixels are zero) are
    concatenated along channels, cut into patches, layer-normalised and projected. A patch is flattened
    in the order row, column, copy, channel.

    Input: [batch, size, size, channels] float. Output: [batch, (size / patch_size)², dim] float.

    Args:
        patch_size: Height and width of a patch, in pixels; even.
        dim: Width of a token.
        epsilon: Added to the variance in the LayerNormalization.
    """

    def __init__(self, patch_size: int, dim: int, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.dim = dim
        self.epsilon = epsilon
        self.norm = keras.layers.LayerNormalization(
            epsilon=epsilon, dtype=self.dtype_policy, name="norm"
        )
        self.projection = keras.layers.Dense(dim, dtype=self.dtype_policy, name="projection")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        _, height, width, channels = input_shape
        if height is None or height != width or height % self.patch_size or channels is None:
            raise ValueError(
                f"Expected square images whose size is a multiple of {self.patch_size}, got {input_shape}."
            )
        patch_shape = (
            None,
            (height // self.patch_size) ** 2,
            self.patch_size**2 * channels * 5,
        )
        self.norm.build(patch_shape)
        self.projection.build(patch_shape)
        self.built = True

    def _shifted_copies(self, images: Any) -> Any:
        half = self.patch_size // 2
        cut_start, cut_end = slice(half, None), slice(None, -half)
        pad_start, pad_end = (half, 0), (0, half)
        none = (0, 0)
        copies = [images]
        # The image moves up-left, down-left, up-right, down-right: the paper's order.
        for columns, pad_columns in ((cut_start, pad_end), (cut_end, pad_start)):
            for rows, pad_rows in ((cut_start, pad_end), (cut_end, pad_start)):
                copies.append(
                    ops.pad(images[:, rows, columns, :], (none, pad_rows, pad_columns, none))
                )
        return ops.concatenate(copies, axis=-1)

    def call(self, images: Any) -> Any:
        patch = self.patch_size
        stacked = self._shifted_copies(images)
        _, size, _, channels = stacked.shape
        grid = size // patch
        patches = ops.reshape(stacked, (-1, grid, patch, grid, patch, channels))
        patches = ops.transpose(patches, (0, 1, 3, 2, 4, 5))
        patches = ops.reshape(patches, (-1, grid * grid, patch * patch * channels))
        return self.projection(self.norm(patches))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, size = input_shape[:2]
        return (batch, None if size is None else (size // self.patch_size) ** 2, self.dim)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "dim": self.dim,
            "epsilon": self.epsilon,
        }


@keras.saving.register_keras_serializable(package=_PACKAGE)
class PositionEmbedding(keras.layers.Layer):
    """Adds a learnable vector to each token. Input and output: [batch, tokens, dim] float."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.embedding = self.add_weight(
            name="embedding", shape=input_shape[1:], initializer="uniform", trainable=True
        )
        self.built = True

    def call(self, tokens: Any) -> Any:
        return tokens + ops.cast(self.embedding, tokens.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


@keras.saving.register_keras_serializable(package=_PACKAGE)
class LocalitySelfAttention(keras.layers.Layer):
    """Locality self-attention (arXiv:2112.13492, section 3.2).

    Multi-head self-attention in which a token does not attend to itself (diagonal masking) and the
    scores are divided by a learnable temperature τ, one scalar for all heads, in place of √key_dim.

    Input and output: [batch, tokens, dim] float.

    Args:
        num_heads: Number of attention heads.
        key_dim: Width of one head's queries, keys and values.
        dropout: Dropout rate on the attention weights while training.
    """

    def __init__(self, num_heads: int, key_dim: int, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.dropout = dropout
        width = num_heads * key_dim
        self.query = keras.layers.Dense(width, dtype=self.dtype_policy, name="query")
        self.key = keras.layers.Dense(width, dtype=self.dtype_policy, name="key")
        self.value = keras.layers.Dense(width, dtype=self.dtype_policy, name="value")
        self.weights_dropout = (
            keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="weights_dropout")
            if dropout
            else None
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        tokens, dim = input_shape[1:]
        if tokens is None or dim is None:
            raise ValueError(f"Expected a fixed number of tokens and width, got {input_shape}.")
        self.query.build(input_shape)
        self.key.build(input_shape)
        self.value.build(input_shape)
        self.projection = keras.layers.Dense(dim, dtype=self.dtype_policy, name="projection")
        self.projection.build((None, tokens, self.num_heads * self.key_dim))
        self.tau = self.add_weight(
            name="tau",
            shape=(),
            initializer=keras.initializers.Constant(self.key_dim**0.5),
            trainable=True,
        )
        self._mask = np.where(np.eye(tokens, dtype=bool), MASKED_SCORE, 0.0).astype(np.float32)
        self.built = True

    def _split_heads(self, x: Any) -> Any:
        x = ops.reshape(x, (-1, x.shape[1], self.num_heads, self.key_dim))
        return ops.transpose(x, (0, 2, 1, 3))

    def call(self, tokens: Any, training: bool | None = False) -> Any:
        query = self._split_heads(self.query(tokens) / ops.cast(self.tau, tokens.dtype))
        key = self._split_heads(self.key(tokens))
        value = self._split_heads(self.value(tokens))
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        weights = ops.softmax(scores + ops.cast(self._mask, scores.dtype), axis=-1)
        if self.weights_dropout is not None:
            weights = self.weights_dropout(weights, training=training)
        mixed = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        mixed = ops.reshape(mixed, (-1, tokens.shape[1], self.num_heads * self.key_dim))
        return self.projection(mixed)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "dropout": self.dropout,
        }
