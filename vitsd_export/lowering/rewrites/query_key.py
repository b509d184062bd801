"""Wq and Wk of each head become one matrix.

Up to terms that are constant along a row of scores, which softmax does not see (`temperature`),

    (x Wq + bq)(x Wk + bk)ᵀ = (x Wq + bq) Wkᵀ xᵀ + const = (x M + c) xᵀ + const,  M = Wq Wkᵀ,  c = bq Wkᵀ.

So a head's queries are x M + c, and its keys the tokens x themselves. c xᵀ differs from column to column and
stays.

M is dim × dim. That saves a product where key_dim is near dim, and costs more where heads are narrow: with
key_dim k, T tokens and dim d, queries, keys and scores take T·d·k + T·d·k + T²·k multiply-adds a head before
and T·d·d + T²·d after.
"""

import dataclasses

import numpy as np

from vitsd_export.lowering.graph import Array, Attention, Dense, Graph
from vitsd_export.lowering.rewrites.base import NotApplied, check_gain, map_attention

NAME = "query-key"
SUMMARY = "Wq and Wk of each head become one matrix; the tokens themselves are the keys"


def apply(graph: Graph) -> Graph:
    """Rewrites every block's attention.

    Raises:
        NotApplied: If no block has keys of its own, or it would take more multiply-adds.
    """
    if all(block.attention.key is None for block in graph.blocks):
        raise NotApplied("the tokens are the keys already")
    rewritten = map_attention(graph, _rewrite)
    check_gain(graph, rewritten)
    return rewritten


def _rewrite(attention: Attention) -> Attention:
    if attention.key is None:
        return attention
    query, key, heads = attention.query, attention.key, attention.heads
    keys = by_head(key.kernel, heads)
    kernel = np.einsum("dhk,ehk->dhe", by_head(query.kernel, heads), keys)
    bias = None
    if query.bias is not None:
        bias = np.einsum("hk,ehk->he", query.bias.reshape(heads, -1), keys).ravel()
    return dataclasses.replace(
        attention, query=Dense(kernel.reshape(len(kernel), -1), bias), key=None
    )


def by_head(kernel: Array, heads: int) -> Array:
    """Returns a kernel [dim, heads · width] as [dim, heads, width]."""
    return kernel.reshape(len(kernel), heads, -1)
