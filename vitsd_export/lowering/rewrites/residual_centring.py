"""The residual stream loses its mean where that is free, and half of the LayerNorms need not take it away.

Whatever reads the stream x begins with a LayerNorm, which takes the token's mean away; with
C = I - 11ᵀ/dim it sees x C. So the stream may lose its mean at any time, and what is added to it may be
added without its mean. As (h W + b) C = h (W C) + b C, the tokenizer's projection and the attention's
output get there by taking from each row of W, and from b, its own mean, at no cost at inference.

The MLP ends in GELU, which nothing goes through. The norm after it computes x C anyway, and the stream goes
on from there. What the attention then adds has no mean either, so the MLP's norm finds none.

(Ashkboos et al., "SliceGPT", 2024, arXiv:2401.15024, turn all LayerNorms into RMSNorms so, in networks whose
MLP ends in a product.)
"""

import dataclasses

from vitsd_export.lowering.graph import Array, Block, Dense, Graph
from vitsd_export.lowering.rewrites.base import NotApplied

NAME = "residual-centring"
SUMMARY = "half of the LayerNorms find no mean to take away"


def apply(graph: Graph) -> Graph:
    """Rewrites what is added to the residual stream, and the norms that read it.

    Raises:
        NotApplied: If there is no block, or it has been done.
    """
    if not graph.blocks:
        raise NotApplied("there is no block")
    if graph.blocks[0].mlp_norm.centred:
        raise NotApplied("the residual stream has no mean already")
    tokenizer = graph.tokenizer
    tokenizer = dataclasses.replace(
        tokenizer,
        projection=_centre(tokenizer.projection),
        positions=None if tokenizer.positions is None else _without_mean(tokenizer.positions),
    )
    first, *others = (_rewrite_block(block) for block in graph.blocks)
    found = dataclasses.replace(first.attention_norm, centred=True, centres_stream=False)
    first = dataclasses.replace(first, attention_norm=found)
    return dataclasses.replace(graph, tokenizer=tokenizer, blocks=(first, *others))


def _rewrite_block(block: Block) -> Block:
    return dataclasses.replace(
        block,
        attention_norm=dataclasses.replace(block.attention_norm, centres_stream=True),
        attention=dataclasses.replace(block.attention, output=_centre(block.attention.output)),
        mlp_norm=dataclasses.replace(block.mlp_norm, centred=True),
    )


def _centre(layer: Dense) -> Dense:
    bias = None if layer.bias is None else _without_mean(layer.bias)
    return Dense(_without_mean(layer.kernel), bias)


def _without_mean(values: Array) -> Array:
    return values - values.mean(axis=-1, keepdims=True)
