"""The inference graph: a trained vision transformer as plain data.

A rewrite makes one graph of another (`vitsd_export.lowering.rewrites`), and `program` says by which
operators a runtime computes it. Every array is NumPy.
"""

import dataclasses
from typing import Literal

import numpy as np

Array = np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Dense:
    """x ↦ x · kernel + bias.

    Attributes:
        kernel: [inputs, outputs].
        bias: [outputs]; None for zero.
    """

    kernel: Array
    bias: Array | None


@dataclasses.dataclass(frozen=True, eq=False)
class LowRankDense:
    """x ↦ expansion(reduction(x)): a dense layer of low rank, as two narrow ones.

    Attributes:
        reduction: [inputs, rank], without a bias.
        expansion: [rank, outputs].
    """

    reduction: Dense
    expansion: Dense


@dataclasses.dataclass(frozen=True, eq=False)
class LayerNorm:
    """x ↦ (x - mean) / √(variance + epsilon) · gamma + beta, over the last axis.

    Attributes:
        epsilon: Added to the variance.
        gamma: [width]; None for one.
        beta: [width]; None for zero.
    """

    epsilon: float
    gamma: Array | None = None
    beta: Array | None = None

    @property
    def affine(self) -> bool:
        """Whether there is a gamma or a beta."""
        return self.gamma is not None or self.beta is not None


@dataclasses.dataclass(frozen=True, eq=False)
class PatchTokenizer:
    """Shifted patch tokenization as trained (arXiv:2112.13492, section 3.1), from the pixels on.

    Attributes:
        input_size: Height and width of the image, in pixels.
        image_size: Height and width it is resized to.
        patch_size: Height and width of a patch, in pixels of the resized image.
        mean: [3] mean of each channel, in pixel values.
        deviation: [3] what the difference from the mean is divided by.
        norm: LayerNorm over a patch: row, column, copy, channel.
        projection: From a patch to a token.
        positions: [tokens, dim]; None for zero.
    """

    input_size: int
    image_size: int
    patch_size: int
    mean: Array
    deviation: Array
    norm: LayerNorm
    projection: Dense
    positions: Array | None

    @property
    def grid(self) -> int:
        """Patches in a row of the image."""
        return self.image_size // self.patch_size


@dataclasses.dataclass(frozen=True, eq=False)
class WindowTokenizer:
    """The same from overlapping windows of 2 · patch_size, which hold every pixel of a patch's copies once.

    Windows are rows · image · columns: `columns` acts on the rows of pixels, `rows` on what comes of it.

    Attributes:
        input_size: Height and width of the image, in pixels.
        patch_size: Height and width of a patch; windows are twice as large and lie so far apart.
        mean: [3] mean of each channel; None where `columns` takes it away.
        deviation: [3] what the difference is divided by; None where `columns` does it.
        columns: [input_size · 3, grid · window · 3].
        rows: [grid · window, input_size].
        pixel_weights: [window · window · 3]: the share of each number in the patch's mean and variance.
        epsilon: Added to the variance.
        projection: From a normalised window to a token.
        positions: [tokens, dim]; None for zero.
    """

    input_size: int
    patch_size: int
    mean: Array | None
    deviation: Array | None
    columns: Dense
    rows: Array
    pixel_weights: Array
    epsilon: float
    projection: Dense
    positions: Array | None

    @property
    def window(self) -> int:
        """Height and width of a window, in pixels of the resized image."""
        return 2 * self.patch_size

    @property
    def grid(self) -> int:
        """Windows in a row of the image."""
        return len(self.rows) // self.window


@dataclasses.dataclass(frozen=True, eq=False)
class Attention:
    """Locality self-attention (arXiv:2112.13492, section 3.2): no token attends to itself.

    A head's scores are query · keyᵀ / temperature, and its answer softmax(scores) · value. Where there is
    no `key` (`value`), the tokens themselves take its place in every head.

    Attributes:
        heads: Number of heads.
        temperature: What the scores are divided by.
        query: [dim, heads · width], the heads side by side; width is `dim` without a `key`.
        key: [dim, heads · width].
        value: [dim, heads · value width].
        output: [heads · value width, dim]; the value width is `dim` without a `value`.
    """

    heads: int
    temperature: float
    query: Dense
    key: Dense | None
    value: Dense | None
    output: Dense


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """A transformer block: x ↦ x + attention(norm(x)), then x ↦ x + mlp(norm(x)).

    Attributes:
        attention_norm: Before the attention.
        attention: The attention.
        mlp_norm: Before the MLP.
        mlp: Its layers, each followed by GELU.
    """

    attention_norm: LayerNorm
    attention: Attention
    mlp_norm: LayerNorm
    mlp: tuple[Dense, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """From the normalised tokens to the logits.

    Attributes:
        pooling: `flatten` concatenates the tokens, `mean` averages them.
        hidden: Layers followed by GELU.
        logits: The last layer.
    """

    pooling: Literal["flatten", "mean"]
    hidden: tuple[Dense | LowRankDense, ...]
    logits: Dense


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """A classifier of images.

    Attributes:
        tokenizer: From pixels [size, size, 3], 0–255, to tokens [tokens, dim].
        blocks: The transformer.
        norm: Over each token after the last block.
        head: From normalised tokens to logits; None for an encoder alone, which answers these tokens.
        softmax: Whether probabilities are answered in place of logits.
    """

    tokenizer: PatchTokenizer | WindowTokenizer
    blocks: tuple[Block, ...]
    norm: LayerNorm
    head: Head | None
    softmax: bool = False

    @property
    def input_size(self) -> int:
        """Height and width of the image, in pixels."""
        return self.tokenizer.input_size

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return self.tokenizer.grid**2

    @property
    def dim(self) -> int:
        """Width of a token."""
        return int(self.tokenizer.projection.kernel.shape[1])
