"""The last LayerNorm's γ and β go into the head.

Flattened, token t's part of the head's input is γ ⊙ n_t + β, so the head's first kernel W, whose rows lie
token by token, takes them in as in `layer_norm_affine`, with γ and β repeated for every token:

    Σ_t (γ ⊙ n_t + β) W_t + b = Σ_t n_t (diag(γ) W_t) + (Σ_t β W_t + b).

Averaged, mean_t(γ ⊙ n_t + β) = γ ⊙ mean_t(n_t) + β: the mean of an affine map is the map of the mean.
"""

import dataclasses

import numpy as np

from vitsd_export.lowering.graph import Array, Graph, LowRankDense
from vitsd_export.lowering.rewrites.base import NotApplied
from vitsd_export.lowering.rewrites.layer_norm_affine import absorb, without_affine

NAME = "head-norm-affine"
SUMMARY = "γ and β of the last LayerNorm go into the head"


def apply(graph: Graph) -> Graph:
    """Rewrites the last norm.

    Raises:
        NotApplied: If it has no γ or β, or there is no head.
    """
    head, norm = graph.head, graph.norm
    if head is None:
        raise NotApplied("there is no head")
    if not norm.affine:
        raise NotApplied("the last LayerNorm has no γ or β")
    repeats = graph.tokens if head.pooling == "flatten" else 1

    def tiled(values: Array | None) -> Array | None:
        return None if values is None else np.tile(values, repeats)

    wide = dataclasses.replace(norm, gamma=tiled(norm.gamma), beta=tiled(norm.beta))
    if head.hidden:
        if isinstance(head.hidden[0], LowRankDense):
            raise NotApplied("the head's first layer is of low rank already")
        head = dataclasses.replace(head, hidden=(absorb(wide, head.hidden[0]), *head.hidden[1:]))
    else:
        head = dataclasses.replace(head, logits=absorb(wide, head.logits))
    return dataclasses.replace(graph, norm=without_affine(norm), head=head)
