"""What an inference graph computes, in NumPy and float64.

The reference of the rewrites: it shares no code with what runtimes are given, and each part is written
as its definition reads, one head after the other.
"""

import math

import numpy as np

from tests.support.numpy_reference import gelu, layer_norm, resize_bilinear, shifted_patches
from vitsd_export.lowering.graph import (
    Attention,
    Dense,
    Graph,
    LayerNorm,
    LowRankDense,
    PatchTokenizer,
    WindowTokenizer,
)


def evaluate(graph: Graph, pixels: np.ndarray) -> np.ndarray:
    """Logits or probabilities [N, classes] of pixels [N, size, size, 3]; tokens without a head."""
    x = tokenize(graph.tokenizer, np.asarray(pixels, np.float64))
    for block in graph.blocks:
        x = x + attend(block.attention, norm(block.attention_norm, x))
        h = norm(block.mlp_norm, x)
        for layer in block.mlp:
            h = gelu(dense(layer, h))
        x = x + h
    x = norm(graph.norm, x)
    if graph.head is None:
        return x
    x = x.reshape(len(x), -1) if graph.head.pooling == "flatten" else x.mean(axis=1)
    for layer in graph.head.hidden:
        if isinstance(layer, LowRankDense):
            x = dense(layer.reduction, x)
            layer = layer.expansion
        x = gelu(dense(layer, x))
    logits = dense(graph.head.logits, x)
    return softmax(logits) if graph.softmax else logits


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def dense(layer: Dense, x: np.ndarray) -> np.ndarray:
    product = x @ layer.kernel.astype(np.float64)
    return product if layer.bias is None else product + layer.bias


def norm(layer: LayerNorm, x: np.ndarray) -> np.ndarray:
    width = x.shape[-1]
    gamma = np.ones(width) if layer.gamma is None else layer.gamma
    beta = np.zeros(width) if layer.beta is None else layer.beta
    return layer_norm(x, gamma, beta, layer.epsilon)


def tokenize(tokenizer: PatchTokenizer | WindowTokenizer, pixels: np.ndarray) -> np.ndarray:
    if isinstance(tokenizer, PatchTokenizer):
        x = (pixels - tokenizer.mean) / tokenizer.deviation
        if tokenizer.image_size != tokenizer.input_size:
            x = resize_bilinear(x, tokenizer.image_size)
        x = norm(tokenizer.norm, shifted_patches(x, tokenizer.patch_size))
    else:
        x = _normalised_windows(tokenizer, pixels)
    x = dense(tokenizer.projection, x)
    return x if tokenizer.positions is None else x + tokenizer.positions


def _normalised_windows(tokenizer: WindowTokenizer, pixels: np.ndarray) -> np.ndarray:
    x = pixels if tokenizer.mean is None else pixels - tokenizer.mean
    x = x if tokenizer.deviation is None else x / tokenizer.deviation
    count, size = len(x), tokenizer.input_size
    x = dense(tokenizer.columns, x.reshape(count, size, size * 3))
    x = np.einsum("ay,nyb->nab", tokenizer.rows, x)
    grid, window = tokenizer.grid, tokenizer.window
    x = x.reshape(count, grid, window, grid, window, 3)
    shares = tokenizer.pixel_weights
    tokens = []
    for row in range(grid):
        for column in range(grid):
            values = x[:, row, :, column].reshape(count, -1)
            centred = values - (values @ shares)[:, None]
            variance = (centred**2) @ shares
            tokens.append(centred / np.sqrt(variance + tokenizer.epsilon)[:, None])
    return np.stack(tokens, axis=1)


def attend(attention: Attention, x: np.ndarray) -> np.ndarray:
    """Answers of all heads, [N, tokens, dim], of normalised tokens."""
    count, tokens, _ = x.shape
    diagonal = np.eye(tokens, dtype=bool)
    mixed = []
    for head in range(attention.heads):
        query = of_head(attention, attention.query, head, x)
        key = x if attention.key is None else of_head(attention, attention.key, head, x)
        value = x if attention.value is None else of_head(attention, attention.value, head, x)
        for_all = []
        for image in range(count):
            scores = query[image] @ key[image].T / attention.temperature
            scores = np.where(diagonal, -math.inf if tokens > 1 else 0.0, scores)
            for_all.append(softmax(scores) @ value[image])
        mixed.append(np.stack(for_all))
    return dense(attention.output, np.concatenate(mixed, axis=-1))


def of_head(attention: Attention, layer: Dense, head: int, x: np.ndarray) -> np.ndarray:
    width = layer.kernel.shape[1] // attention.heads
    return dense(layer, x)[..., head * width : (head + 1) * width]
