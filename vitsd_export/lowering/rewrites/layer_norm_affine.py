"""LayerNorm's γ and β go into the matrix products that follow it.

LayerNorm answers y = γ ⊙ n + β with n = (x - mean) / √(variance + ε). A dense layer makes of it

    y W + b = (γ ⊙ n + β) W + b = n (diag(γ) W) + (β W + b).

So the rows of W are scaled by γ, β W is added to the bias, and the norm keeps neither. Query, key and value
are consumers of one norm and each take it in. The last norm is the business of `head_norm_affine`.
"""

import dataclasses

import numpy as np

from vitsd_export.lowering.graph import Array, Block, Dense, Graph, LayerNorm, PatchTokenizer
from vitsd_export.lowering.rewrites.base import NotApplied

NAME = "layer-norm-affine"
SUMMARY = "γ and β of every LayerNorm go into the matrix products after it"

_ROWS_AT_ONCE = 512


def apply(graph: Graph) -> Graph:
    """Rewrites the norms of the tokenizer and of the blocks.

    Raises:
        NotApplied: If none of them has a γ or β.
    """
    tokenizer = graph.tokenizer
    norms = [norm for block in graph.blocks for norm in (block.attention_norm, block.mlp_norm)]
    if isinstance(tokenizer, PatchTokenizer):
        norms.append(tokenizer.norm)
        tokenizer = dataclasses.replace(
            tokenizer,
            norm=without_affine(tokenizer.norm),
            projection=absorb(tokenizer.norm, tokenizer.projection),
        )
    if not any(norm.affine for norm in norms):
        raise NotApplied("no LayerNorm before the last has a γ or β")
    return dataclasses.replace(
        graph, tokenizer=tokenizer, blocks=tuple(map(_rewrite_block, graph.blocks))
    )


def _rewrite_block(block: Block) -> Block:
    attention, attention_norm = block.attention, block.attention_norm
    # Where the tokens themselves are keys or values, these would lose their γ and β.
    if attention.key is not None and attention.value is not None:
        attention = dataclasses.replace(
            attention,
            query=absorb(attention_norm, attention.query),
            key=absorb(attention_norm, attention.key),
            value=absorb(attention_norm, attention.value),
        )
        attention_norm = without_affine(attention_norm)
    return Block(
        attention_norm=attention_norm,
        attention=attention,
        mlp_norm=without_affine(block.mlp_norm),
        mlp=(absorb(block.mlp_norm, block.mlp[0]), *block.mlp[1:]),
    )


def without_affine(norm: LayerNorm) -> LayerNorm:
    """Returns a norm without its γ and β."""
    return dataclasses.replace(norm, gamma=None, beta=None)


def absorb(norm: LayerNorm, layer: Dense) -> Dense:
    """Returns the dense layer that takes a norm's γ and β in."""
    kernel, bias = layer.kernel, layer.bias
    if norm.beta is not None:
        shift = _product(norm.beta, kernel)
        bias = shift if bias is None else bias + shift
    if norm.gamma is not None:
        # In the kernel's own type: a product of two float32 numbers is rounded once either way.
        kernel = np.multiply(norm.gamma[:, None], kernel, dtype=kernel.dtype, casting="same_kind")
    return Dense(kernel, bias)


def _product(row: Array, kernel: Array) -> Array:
    """Returns row · kernel in float64, without a copy of a large float32 kernel in float64."""
    total = np.zeros(kernel.shape[1])
    for start in range(0, len(kernel), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        total += row[part] @ kernel[part].astype(np.float64, copy=False)
    return total
