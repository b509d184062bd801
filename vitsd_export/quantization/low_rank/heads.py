"""Replaces the head's wide layers by products of two narrow ones.

`subspaces` chooses what the narrow layers keep. Then the second layer of each two is fitted to the answers of
the whole head, see `fitting`.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from vitsd_export.errors import UsageError
from vitsd_export.lowering.graph import Array, Dense, Graph, Head, LowRankDense
from vitsd_export.quantization.calibration.graph_runner import answers, answers_to_tokens
from vitsd_export.quantization.low_rank.fitting import fit_head
from vitsd_export.quantization.low_rank.subspaces import (
    Subspace,
    factor,
    find_subspace,
    head_statistics,
    with_prior,
)

# Ranks that `auto` tries: steps of a third to a half, multiples of what SIMD units take at once.
LADDER = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)

# Takes the probabilities [N, classes] of the whole head and of the one of low rank; returns the mean
# divergence between them, in nats, and whether it may stand for the whole one.
Judge = Callable[[Array, Array], tuple[float, bool]]


@dataclasses.dataclass(frozen=True)
class FactoredLayer:
    """A layer that was factored.

    Attributes:
        name: Name of its operator.
        inputs: Width of its inputs.
        outputs: Width of its outputs.
        rank: Width between the two layers that it has become.
        kept: Share of the outputs' variance that is kept, weighted by the Fisher information, 0–1.
    """

    name: str
    inputs: int
    outputs: int
    rank: int
    kept: float


@dataclasses.dataclass(frozen=True, eq=False)
class HeadCompression:
    """What became of a head.

    Attributes:
        graph: The graph with the head of low rank; the graph as it was where `reason` says why.
        rank: The rank; None without a change.
        layers: The layers that were factored.
        weights_before: Numbers in the kernels of the head.
        weights_after: The same after.
        divergence: Of its answers from the whole head's on held-out images, as the judge has it, in nats;
            None without a change.
        tried: Divergence by rank, of all ranks that were tried.
        reason: Why the head stays as it is; None if it does not.
    """

    graph: Graph
    rank: int | None
    layers: tuple[FactoredLayer, ...]
    weights_before: int
    weights_after: int
    divergence: float | None
    tried: Mapping[int, float]
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            "rank": self.rank,
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
            "weights_before": self.weights_before,
            "weights_after": self.weights_after,
            "divergence": self.divergence,
            "tried": {str(rank): divergence for rank, divergence in self.tried.items()},
            "reason": self.reason,
        }


class HeadCompressor:
    """Makes heads of several ranks of one graph; runs the encoder on the images once.

    Args:
        graph: The lowered graph.
        calibration: [N, size, size, 3] uint8 training images that choose the directions.
        held_out: Other training images, on which heads are judged.
        judge: Judges heads.
        progress: Called with what is going on.
    """

    def __init__(
        self,
        graph: Graph,
        calibration: np.ndarray,
        held_out: np.ndarray,
        judge: Judge,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._graph = graph
        self._calibration = calibration
        self._held_out = held_out
        self._judge = judge
        self._progress = progress
        hidden = () if graph.head is None else graph.head.hidden
        self._wide = {
            f"head/dense{number}": layer
            for number, layer in enumerate(hidden)
            if isinstance(layer, Dense)
        }

    def compress(self, rank: int | Literal["auto"]) -> HeadCompression:
        """Factors the hidden layers of the head where that makes them smaller.

        Args:
            rank: Width between the two layers that each becomes, or `auto` for the first of `LADDER` that the
                judge lets pass; found by halving, for a larger rank loses less.

        Raises:
            UsageError: If the rank makes no layer smaller.
            InputError: If the images cannot be used, or the layers answer them with NaN or all alike.
        """
        if rank != "auto" and rank < 1:
            raise UsageError(f"The rank of the head must be at least 1, not {rank}.")
        head = self._graph.head
        limit = max(map(_largest_rank, self._wide.values()), default=0)
        if head is None or not limit or (rank != "auto" and rank > limit):
            reason = _nothing_to_gain(self._wide, limit)
            if rank != "auto":
                raise UsageError(f"A head of rank {rank} is not possible: {reason}.")
            return self._unchanged(reason)
        if rank != "auto":
            return self._fitted(head, rank)[0]
        ranks = [step for step in LADDER if step <= limit]
        tried: dict[int, float] = {}
        best: HeadCompression | None = None
        first, last = 0, len(ranks)
        while first < last:
            middle = (first + last) // 2
            left = (last - first).bit_length() - 1
            self._progress(f"trying rank {ranks[middle]}, and at most {left} more")
            small, passed = self._fitted(head, ranks[middle])
            tried |= small.tried
            if passed:
                best, last = small, middle
            else:
                first = middle + 1
        tried = dict(sorted(tried.items()))
        if best is not None:
            return dataclasses.replace(best, tried=tried)
        told = ", ".join(
            f"{divergence:.2g} nats at rank {each}" for each, divergence in tried.items()
        )
        return self._unchanged(
            f"no rank that makes it smaller keeps its answers; they diverge by {told}"
            if tried
            else f"it gets smaller up to rank {limit}, and the first that is tried is {LADDER[0]}",
            tried,
        )

    def _fitted(self, head: Head, rank: int) -> tuple[HeadCompression, bool]:
        """Returns the head of a rank, and whether the judge lets it pass."""
        small = self._factored(head, rank)
        self._progress(f"fitting the head of rank {rank} to the answers of the whole one")
        fitted = dataclasses.replace(
            small, graph=fit_head(small.graph, self._graph, self._observed)
        )
        # What a handful of images teach may be worth nothing on others.
        judged = [
            (*self._judge(self._expected, self._probabilities(each.graph)), each)
            for each in (fitted, small)
        ]
        divergence, passed, best = min(judged, key=lambda each: each[0])
        return dataclasses.replace(best, divergence=divergence, tried={rank: divergence}), passed

    def _factored(self, head: Head, rank: int) -> HeadCompression:
        hidden: list[Dense | LowRankDense] = list(head.hidden)
        layers = []
        for number in range(len(hidden)):
            name = f"head/dense{number}"
            layer, subspace = self._wide.get(name), self._subspaces.get(name)
            if layer is None or subspace is None or rank > _largest_rank(layer):
                continue
            hidden[number] = factor(layer, subspace, rank)
            kept = 1 - float(subspace.loss[rank])
            inputs, outputs = layer.kernel.shape
            layers.append(FactoredLayer(name, inputs, outputs, rank, kept))
        small = dataclasses.replace(head, hidden=tuple(hidden))
        return HeadCompression(
            graph=dataclasses.replace(self._graph, head=small),
            rank=rank,
            layers=tuple(layers),
            weights_before=_count_weights(head),
            weights_after=_count_weights(small),
            divergence=None,
            tried={},
            reason=None,
        )

    def _unchanged(self, reason: str, tried: Mapping[int, float] = {}) -> HeadCompression:
        count = 0 if self._graph.head is None else _count_weights(self._graph.head)
        return HeadCompression(self._graph, None, (), count, count, None, tried, reason)

    @functools.cached_property
    def _subspaces(self) -> dict[str, Subspace]:
        """Directions of the layers that some rank makes smaller."""
        names = tuple(name for name, layer in self._wide.items() if _largest_rank(layer))
        statistics = head_statistics(self._graph, self._observed, names)
        found = {}
        for name in names:
            self._progress(f"finding the directions of {name}")
            found[name] = find_subspace(with_prior(statistics.pop(name), self._wide[name]), name)
        return found

    @functools.cached_property
    def _observed(self) -> Array:
        """What the encoder answers to the calibration images."""
        return self._tokens(self._calibration)

    @functools.cached_property
    def _unseen(self) -> Array:
        """What the encoder answers to the held-out images."""
        return self._tokens(self._held_out)

    @functools.cached_property
    def _expected(self) -> Array:
        """What the graph answers to the held-out images: probabilities."""
        return self._probabilities(self._graph)

    def _tokens(self, images: np.ndarray) -> Array:
        self._progress(f"asking the encoder about {len(images)} images")
        return answers(dataclasses.replace(self._graph, head=None), images)

    def _probabilities(self, graph: Graph) -> Array:
        return answers_to_tokens(dataclasses.replace(graph, softmax=True), self._unseen)


def _largest_rank(layer: Dense) -> int:
    """Returns the largest rank that takes fewer weights."""
    inputs, outputs = layer.kernel.shape
    return int((inputs * outputs - 1) // (inputs + outputs))


def _count_weights(head: Head) -> int:
    total = int(head.logits.kernel.size)
    for layer in head.hidden:
        parts = (layer.reduction, layer.expansion) if isinstance(layer, LowRankDense) else (layer,)
        total += sum(int(part.kernel.size) for part in parts)
    return total


def _nothing_to_gain(dense: Mapping[str, Dense], limit: int) -> str:
    if not dense:
        return "the model's head has no hidden layer that could be factored"
    sizes = ", ".join(" × ".join(map(str, layer.kernel.shape)) for layer in dense.values())
    return f"the head's hidden layers ({sizes}) get smaller up to rank {limit}"
