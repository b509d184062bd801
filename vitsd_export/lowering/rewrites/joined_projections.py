"""Query, key and value are computed by one product.

x Wq, x Wk and x Wv share their left factor: x [Wq Wk Wv] is the three side by side. One large product uses
the processor better than three small ones, and the heads of all three are brought to the front by one
transposition.
"""

import dataclasses

from vitsd_export.lowering.graph import Attention, Graph
from vitsd_export.lowering.rewrites.base import NotApplied

NAME = "joined-projections"
SUMMARY = "query, key and value are computed by one product"


def apply(graph: Graph) -> Graph:
    """Rewrites every block's attention.

    Raises:
        NotApplied: If no block has two projections of the same width that are still apart.
    """
    if not any(_applies(block.attention) for block in graph.blocks):
        raise NotApplied("no two projections of the same width are apart")
    return dataclasses.replace(
        graph,
        blocks=tuple(
            dataclasses.replace(
                block,
                attention=dataclasses.replace(block.attention, joined=_applies(block.attention)),
            )
            for block in graph.blocks
        ),
    )


def _applies(attention: Attention) -> bool:
    widths = {layer.kernel.shape[1] for layer in attention.projections}
    return not attention.joined and len(attention.projections) > 1 and len(widths) == 1
