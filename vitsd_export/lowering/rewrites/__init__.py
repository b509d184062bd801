"""The rewrites, each an exact transformation of the inference graph in a file of its own."""

import dataclasses
from collections.abc import Collection

from vitsd_export._internal.suggestions import nearest
from vitsd_export.errors import UsageError
from vitsd_export.lowering.graph import Graph
from vitsd_export.lowering.rewrites import (
    head_norm_affine,
    layer_norm_affine,
    normalization,
    patch_windows,
    position_embedding,
    query_key,
    temperature,
    value_bias,
    value_output,
)
from vitsd_export.lowering.rewrites.base import NotApplied, Rewrite

# In the order in which they are applied: some make room for the next.
REWRITES: tuple[Rewrite, ...] = tuple(
    Rewrite(module.NAME, module.SUMMARY, module.apply)
    for module in (
        layer_norm_affine,
        head_norm_affine,
        patch_windows,
        normalization,
        position_embedding,
        temperature,
        query_key,
        value_bias,
        value_output,
    )
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a rewrite.

    Attributes:
        rewrite: The rewrite.
        graph: The graph after it.
        reason: Why it was not applied; None if it was.
    """

    rewrite: Rewrite
    graph: Graph
    reason: str | None

    @property
    def applied(self) -> bool:
        """Whether the graph is another than before."""
        return self.reason is None


def check_names(names: Collection[str]) -> None:
    """Checks that rewrites exist.

    Raises:
        UsageError: If one does not; the message names the nearest, if one is near.
    """
    known = [rewrite.name for rewrite in REWRITES]
    for name in names:
        if name not in known:
            raise UsageError(
                f"There is no rewrite {name!r}.{nearest(name, known)} Rewrites: {', '.join(known)}."
            )


def rewrite(graph: Graph, without: Collection[str] = ()) -> list[Outcome]:
    """Applies the rewrites, but those named in `without`, one after the other.

    Returns:
        What became of each; the last one's graph is the result.

    Raises:
        UsageError: If there is no rewrite of a name.
    """
    check_names(without)
    outcomes = []
    for step in REWRITES:
        reason = None
        if step.name in without:
            reason = "switched off"
        else:
            try:
                graph = step.apply(graph)
            except NotApplied as refusal:
                reason = str(refusal)
        outcomes.append(Outcome(step, graph, reason))
    return outcomes
