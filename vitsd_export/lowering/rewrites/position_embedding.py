"""The tokenizer's bias goes into the position embedding.

Token t leaves the tokenizer as v_t K + b + e_t. As b + e_t is a constant of the place, one addition does.
"""

import dataclasses

from vitsd_export.lowering.graph import Graph
from vitsd_export.lowering.rewrites.base import NotApplied

NAME = "position-embedding"
SUMMARY = "the tokenizer's bias and the position embedding are added at once"


def apply(graph: Graph) -> Graph:
    """Rewrites the tokenizer.

    Raises:
        NotApplied: If there is no bias or no embedding.
    """
    tokenizer = graph.tokenizer
    if tokenizer.positions is None or tokenizer.projection.bias is None:
        raise NotApplied("the tokenizer has no bias or no position embedding")
    rewritten = dataclasses.replace(
        tokenizer,
        projection=dataclasses.replace(tokenizer.projection, bias=None),
        positions=tokenizer.positions + tokenizer.projection.bias,
    )
    return dataclasses.replace(graph, tokenizer=rewritten)
