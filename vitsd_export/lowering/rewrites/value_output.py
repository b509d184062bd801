"""Wv and Wo of each head become one matrix.

With a head's weights P, and values without a bias (`value_bias`), its share of the attention's output is

    P (x Wv) Wo = (P x) N,   N = Wv Wo,

Wo being the rows of the output projection that belong to the head. So the values are the tokens x
themselves, and all heads' N, one below the other, are the output projection.

N is dim × dim. With a value width k, T tokens and dim d, a head takes T·d·k + T²·k + T·k·d multiply-adds
before and T²·d + T·d·d after.
"""

import dataclasses

import numpy as np

from vitsd_export.lowering.graph import Attention, Dense, Graph
from vitsd_export.lowering.rewrites.base import NotApplied, check_gain, map_attention
from vitsd_export.lowering.rewrites.query_key import by_head

NAME = "value-output"
SUMMARY = "Wv and Wo of each head become one matrix; the tokens themselves are the values"


def apply(graph: Graph) -> Graph:
    """Rewrites every block's attention.

    Raises:
        NotApplied: If no block has values of its own, they have a bias, or it would take more
            multiply-adds.
    """
    values = [block.attention.value for block in graph.blocks]
    if all(value is None for value in values):
        raise NotApplied("the tokens are the values already")
    if any(value is not None and value.bias is not None for value in values):
        raise NotApplied("the values still have their bias")
    rewritten = map_attention(graph, _rewrite)
    check_gain(graph, rewritten)
    return rewritten


def _rewrite(attention: Attention) -> Attention:
    if attention.value is None:
        return attention
    heads, output = attention.heads, attention.output
    of_head = output.kernel.reshape(heads, -1, output.kernel.shape[1])
    kernel = np.einsum("dhk,hke->hde", by_head(attention.value.kernel, heads), of_head)
    return dataclasses.replace(
        attention,
        value=None,
        output=Dense(kernel.reshape(-1, kernel.shape[2]), output.bias),
    )
