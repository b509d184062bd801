"""What a rewrite is."""

import dataclasses
from collections.abc import Callable

from vitsd_export.lowering.cost import cost
from vitsd_export.lowering.graph import Attention, Graph


class NotApplied(Exception):
    """A rewrite has nothing to do in a graph, or would cost more than it saves; the message says why."""


@dataclasses.dataclass(frozen=True)
class Rewrite:
    """An exact transformation of an inference graph.

    Attributes:
        name: By which it is switched off.
        summary: What it does, in a line.
        apply: Makes the new graph; raises NotApplied where it should not.
    """

    name: str
    summary: str
    apply: Callable[[Graph], Graph]


def map_attention(graph: Graph, change: Callable[[Attention], Attention]) -> Graph:
    """Returns a graph with another attention in every block."""
    blocks = [
        dataclasses.replace(block, attention=change(block.attention)) for block in graph.blocks
    ]
    return dataclasses.replace(graph, blocks=tuple(blocks))


def check_gain(before: Graph, after: Graph) -> None:
    """Checks that a rewrite saves multiply-adds.

    Raises:
        NotApplied: If it does not; the message says what it would take.
    """
    old, new = cost(before).multiply_adds, cost(after).multiply_adds
    if new >= old:
        raise NotApplied(
            f"it would take {new / 1e6:.1f} million multiply-adds an image in place of "
            f"{old / 1e6:.1f} million"
        )
