"""The temperature τ goes into the queries, and the keys' bias goes.

    (x Wq + bq)(x Wk + bk)ᵀ / τ = (x (Wq/τ) + bq/τ)(x Wk)ᵀ + (x (Wq/τ) + bq/τ) bkᵀ.

The last term is one number for each query: it shifts a whole row of scores, which softmax does not see.
"""

import dataclasses

from vitsd_export.lowering.graph import Attention, Dense, Graph
from vitsd_export.lowering.rewrites.base import NotApplied, map_attention

NAME = "temperature"
SUMMARY = "τ goes into the queries; the keys' bias, which softmax does not see, goes"


def apply(graph: Graph) -> Graph:
    """Rewrites every block's attention.

    Raises:
        NotApplied: If no scores are divided by anything and no keys have a bias.
    """
    if not any(_applies(block.attention) for block in graph.blocks):
        raise NotApplied("there is neither a temperature nor a bias of keys")
    return map_attention(graph, _rewrite)


def _applies(attention: Attention) -> bool:
    has_bias = attention.key is not None and attention.key.bias is not None
    return attention.temperature != 1 or has_bias


def _rewrite(attention: Attention) -> Attention:
    query, key = attention.query, attention.key
    bias = None if query.bias is None else query.bias / attention.temperature
    return dataclasses.replace(
        attention,
        temperature=1.0,
        query=Dense(query.kernel / attention.temperature, bias),
        key=None if key is None else dataclasses.replace(key, bias=None),
    )
