"""Resizing, shifting, padding and cutting patches become two matrix products, and pixels meet once.

All of it is linear and separable. A patch and its four copies, shifted by half a patch of p pixels, cover a
window of 2p × 2p pixels of the resized image; windows lie p apart, and beyond the image they are zero.
Let R [size, input] be bilinear resizing along one axis, and A [grid · 2p, input] its rows in the order
in which windows name them, with zero rows where a window leaves the image. For every channel, all
windows are

    A · image · Aᵀ,

in which the right factor acts on all channels of a row of pixels at once as kron(Aᵀ, I₃).

The copies hold a pixel of the window once, and the patch itself those of the middle p × p once more. So
the projection's kernel at a pixel of the window is the sum of its kernels at the pixel's places in the
patch, and the LayerNorm's mean and variance over the patch are those over the window with the weights
w = (times the pixel occurs) / (5 · 3 · p²):

    m = Σ w v,   variance = Σ w (v - m)²,   token = Σ (v - m) / √(variance + ε) K + bias.

The variance is summed from differences: Σ w v² - m² would cancel to rounding errors in a patch of nearly
one colour. There the rounding of m counts as well. It shifts all of v - m alike, and what that does to the
token is taken away by K - w kᵀ in place of K, where k sums the rows of K: the rows then sum to zero, and
as Σ w (v - m) = 0 the token is the same.

Only a norm without γ and β can be taken over the window: see `layer_norm_affine`.
"""

import dataclasses

import numpy as np

from vitsd_export.lowering.graph import Array, Dense, Graph, PatchTokenizer, WindowTokenizer
from vitsd_export.lowering.rewrites.base import NotApplied

NAME = "patch-windows"
SUMMARY = "resize, shift, pad and patchify become two matrix products"


def apply(graph: Graph) -> Graph:
    """Rewrites the tokenizer.

    Raises:
        NotApplied: If its LayerNorm has a γ or β, or it is rewritten already.
    """
    tokenizer = graph.tokenizer
    if isinstance(tokenizer, WindowTokenizer):
        raise NotApplied("the tokenizer works on windows already")
    if tokenizer.norm.affine:
        raise NotApplied("the tokenizer's LayerNorm still has its γ and β")
    shares, kernel = _merge_copies(tokenizer)
    rows = _window_rows(tokenizer)
    windows = WindowTokenizer(
        input_size=tokenizer.input_size,
        patch_size=tokenizer.patch_size,
        mean=tokenizer.mean,
        deviation=tokenizer.deviation,
        columns=Dense(np.kron(rows.T, np.eye(3)), None),
        rows=rows,
        pixel_weights=shares,
        epsilon=tokenizer.norm.epsilon,
        projection=Dense(kernel, tokenizer.projection.bias),
        positions=tokenizer.positions,
    )
    return dataclasses.replace(graph, tokenizer=windows)


def _merge_copies(tokenizer: PatchTokenizer) -> tuple[Array, Array]:
    """Returns the weights of a window's pixels in the mean, and the projection's kernel over a window."""
    patch = tokenizer.patch_size
    dim = tokenizer.projection.kernel.shape[1]
    of_patch = tokenizer.projection.kernel.reshape(patch, patch, 5, 3, dim)
    counts = np.zeros((2 * patch, 2 * patch, 3))
    kernel = np.zeros((2 * patch, 2 * patch, 3, dim))
    # Where in the window the patch and its copies lie. The copy that moved up and left shows what was
    # below and to the right.
    starts = [(patch // 2, patch // 2), (patch, patch), (0, patch), (patch, 0), (0, 0)]
    for copy, (top, left) in enumerate(starts):
        place = (slice(top, top + patch), slice(left, left + patch))
        counts[place] += 1
        kernel[place] += of_patch[:, :, copy]
    shares = counts.ravel() / counts.sum()
    rows = kernel.reshape(-1, dim)
    return shares, rows - np.outer(shares, rows.sum(axis=0))


def _window_rows(tokenizer: PatchTokenizer) -> Array:
    patch, size = tokenizer.patch_size, tokenizer.image_size
    resizing = bilinear(tokenizer.input_size, size)
    rows = np.zeros((tokenizer.grid, 2 * patch, tokenizer.input_size))
    for window in range(tokenizer.grid):
        first = window * patch - patch // 2
        for index in range(2 * patch):
            if 0 <= first + index < size:
                rows[window, index] = resizing[first + index]
    return rows.reshape(-1, tokenizer.input_size)


def bilinear(old: int, new: int) -> Array:
    """Returns the matrix [new, old] that resizes bilinearly: half-pixel centres, borders repeated."""
    positions = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    lower = np.minimum(np.floor(positions).astype(int), max(old - 2, 0))
    share = positions - lower
    matrix = np.zeros((new, old))
    matrix[np.arange(new), lower] += 1 - share
    matrix[np.arange(new), np.minimum(lower + 1, old - 1)] += share
    return matrix
