"""The network in NumPy, float64, written from the paper's description and not from the Keras code.

Lee et al., "Vision Transformer for Small-Size Datasets", 2021, arXiv:2112.13492, with the choices of
https://keras.io/examples/vision/vit_small_ds/.
"""

import math
from collections.abc import Mapping

import numpy as np

from vitsd_export.model.config import ModelConfig

Weights = Mapping[str, np.ndarray]


def resize_bilinear(images: np.ndarray, size: int) -> np.ndarray:
    """Half-pixel centres, no antialiasing; beyond the border the border's pixel."""
    old = images.shape[1]
    matrix = np.zeros((size, old))
    for target in range(size):
        position = (target + 0.5) * old / size - 0.5
        lower = math.floor(position)
        for source, share in ((lower, lower + 1 - position), (lower + 1, position - lower)):
            matrix[target, min(max(source, 0), old - 1)] += share
    return np.einsum("ai,bj,nijc->nabc", matrix, matrix, images)


def move(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """The images moved by whole pixels (negative: up, left), zeros where nothing moved in."""
    _, height, width, _ = images.shape
    moved = np.zeros_like(images)
    for row in range(height):
        for column in range(width):
            from_row, from_column = row - down, column - right
            if 0 <= from_row < height and 0 <= from_column < width:
                moved[:, row, column] = images[:, from_row, from_column]
    return moved


def shifted_patches(images: np.ndarray, patch: int) -> np.ndarray:
    """[N, tokens, patch² · 5 · channels]: rows of patches, each by row, column, copy and channel."""
    half = patch // 2
    left_up, left_down = move(images, -half, -half), move(images, half, -half)
    right_up, right_down = move(images, -half, half), move(images, half, half)
    count, size, _, _ = images.shape
    tokens = []
    for top in range(0, size, patch):
        for left in range(0, size, patch):
            values = [
                copy[:, top + row, left + column]
                for row in range(patch)
                for column in range(patch)
                for copy in (images, left_up, left_down, right_up, right_down)
            ]
            tokens.append(np.concatenate(values, axis=1).reshape(count, -1))
    return np.stack(tokens, axis=1)


def layer_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + epsilon) * gamma + beta


def gelu(x: np.ndarray) -> np.ndarray:
    """x · Φ(x), exact."""
    return x * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2))) / 2


def tokenize(images: np.ndarray, weights: Weights, patch: int, epsilon: float) -> np.ndarray:
    """[N, size, size, channels] to [N, tokens, dim]; weights by `norm/gamma` and the like."""
    patches = shifted_patches(images, patch)
    normed = layer_norm(patches, weights["norm/gamma"], weights["norm/beta"], epsilon)
    return normed @ weights["projection/kernel"] + weights["projection/bias"]


def attend(x: np.ndarray, weights: Weights, heads: int) -> np.ndarray:
    """Locality self-attention over [N, tokens, dim], one image and one head at a time."""
    query, key, value = (
        x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]
        for name in ("query", "key", "value")
    )
    width = query.shape[-1] // heads
    mixed = np.zeros_like(query)
    for image in range(len(x)):
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            scores = query[image][:, own] @ key[image][:, own].T / weights["tau"]
            np.fill_diagonal(scores, -np.inf)
            exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
            shares = exponentials / exponentials.sum(axis=1, keepdims=True)
            mixed[image][:, own] = shares @ value[image][:, own]
    return mixed @ weights["projection/kernel"] + weights["projection/bias"]


def _of(weights: Weights, layer: str) -> Weights:
    start = layer + "/"
    return {
        path.removeprefix(start): value for path, value in weights.items() if path.startswith(start)
    }


def classify(pixels: np.ndarray, weights: Weights, config: ModelConfig) -> np.ndarray:
    """Logits [N, classes] of raw pixels.

    Args:
        pixels: [N, input_size, input_size, 3], 0–255.
        weights: Every weight of the model by its path.
        config: The model's configuration.
    """
    weights = {path: np.asarray(value, np.float64) for path, value in weights.items()}

    def norm(x: np.ndarray, layer: str) -> np.ndarray:
        own = _of(weights, layer)
        return layer_norm(x, own["gamma"], own["beta"], config.layer_norm_epsilon)

    def dense(x: np.ndarray, layer: str) -> np.ndarray:
        own = _of(weights, layer)
        return x @ own["kernel"] + own["bias"]

    mean, variance = weights["normalization/mean"], weights["normalization/variance"]
    x = (np.asarray(pixels, np.float64) - mean) / np.sqrt(variance)
    if config.image_size != config.input_size:
        x = resize_bilinear(x, config.image_size)
    x = tokenize(x, _of(weights, "tokenizer"), config.patch_size, config.layer_norm_epsilon)
    x = x + weights["positions/embedding"]
    for block in range(config.depth):
        attention = _of(weights, f"block{block}_attention")
        x = x + attend(norm(x, f"block{block}_attention_norm"), attention, config.num_heads)
        h = norm(x, f"block{block}_mlp_norm")
        for index in range(len(config.mlp_units)):
            h = gelu(dense(h, f"block{block}_mlp_dense{index}"))
        x = x + h
    x = norm(x, "norm")
    x = x.reshape(len(x), -1) if config.head == "flatten" else x.mean(axis=1)
    for index in range(len(config.head_units)):
        x = gelu(dense(x, f"head_dense{index}"))
    return dense(x, "logits")
