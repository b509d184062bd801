"""The values' bias goes into the output's.

The weights P of a head's answer sum to one in every row, so P (x Wv + bv) = P x Wv + bv, and the output
projection makes of that bv Wo: a constant, which is added to its bias.
"""

import dataclasses

from vitsd_export.lowering.graph import Attention, Dense, Graph
from vitsd_export.lowering.rewrites.base import NotApplied, map_attention

NAME = "value-bias"
SUMMARY = "the values' bias goes into the attention output's"


def apply(graph: Graph) -> Graph:
    """Rewrites every block's attention.

    Raises:
        NotApplied: If no values have a bias.
    """
    values = [block.attention.value for block in graph.blocks]
    if all(value is None or value.bias is None for value in values):
        raise NotApplied("no values have a bias")
    return map_attention(graph, _rewrite)


def _rewrite(attention: Attention) -> Attention:
    value, output = attention.value, attention.output
    if value is None or value.bias is None:
        return attention
    shift = value.bias @ output.kernel
    bias = shift if output.bias is None else output.bias + shift
    return dataclasses.replace(
        attention,
        value=dataclasses.replace(value, bias=None),
        output=Dense(output.kernel, bias),
    )
