"""The head's wide layers as products of two narrow ones, chosen by what the model sees.

A dense layer answers y = x W + b. Keeping of y - E[y] only its part in a subspace of r dimensions,

    ŷ = E[y] + (y - E[y]) P,        P of rank r,

is a layer of kernels W P₁ [inputs, r] and P₂ [r, outputs], P = P₁ P₂: r (inputs + outputs) weights in place
of inputs · outputs. Which subspace is best is a question of the images, not of W: the singular vectors of W
treat all inputs alike, but real tokens lie in few directions (reduced-rank regression: Izenman, 1975,
doi:10.1016/0047-259X(75)90042-1).

It is also a question of what follows. To second order, the answers' probabilities change by

    KL(p ‖ p̂) = ½ (ŷ - y) F (ŷ - y)ᵀ,        F = Jᵀ (diag(p) - p pᵀ) J,        J = ∂ logits / ∂ y,

the Fisher information (Amari, 1998, doi:10.1162/089976698300017746). With its mean over the images M = L Lᵀ
in place of F, the loss E[‖(ŷ - y) L‖²] is least where P = L V Vᵀ L⁻¹, V the first r eigenvectors of
Lᵀ Cov(y) L (Eckart and Young, 1936). Only matrices [outputs, outputs] are summed up over the images.

Few images tell few directions. Their covariance is joined by the one that the layer would have on inputs that
are all alike and independent, Wᵀ W, which weighs as much as `_PRIOR_IMAGES` images: so a rank may exceed the
number of images. Views of the images, see `image_views`, tell more of them.

At last the layers after the first of each two are fitted to the head's answers, see `head_fitting`.

The r numbers between the two layers have mean zero, and standard deviations √λ that span orders of magnitude.
An 8-bit range of all of them would serve the first alone, and 8-bit weights after them would too if they had
one standard deviation: so each is divided by √√λ, half way.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from vitsd_export.errors import InputError, UsageError
from vitsd_export.lowering.graph import Array, Dense, Graph, Head, LowRankDense
from vitsd_export.quantization.calibration.held_out import FEWEST_HELD_OUT

# Ranks that `auto` tries: steps of a third to a half, multiples of what SIMD units take at once.
LADDER = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)

# Added to the Fisher information, by its mean eigenvalue, so that it has an inverse. Zero, a tenth and a
# whole are equally good on held-out images.
_RIDGE = 0.1
# Eigenvalues below this share of the first are noise.
_SMALLEST_EIGENVALUE = 1e-12
_ROWS_AT_ONCE = 512
# From a tenth of this to three times as many are equally good.
_PRIOR_IMAGES = 32
# The Fisher information costs a hundred times what an output does, and its mean over some hundred images is
# as good as over thousands.
_FISHER_IMAGES = 512

Progress = Callable[[str], None]
# Takes the probabilities [N, classes] of the whole head and of the one of low rank; returns the mean
# divergence between them, in nats, and whether it may stand for the whole one.
Judge = Callable[[Array, Array], tuple[float, bool]]


@dataclasses.dataclass(frozen=True, eq=False)
class OutputStatistics:
    """A layer's outputs over the calibration images.

    Attributes:
        images: Number of images.
        mean: [outputs].
        covariance: [outputs, outputs].
        fisher: [outputs, outputs]: mean Fisher information of the answers about these outputs.
    """

    images: int
    mean: Array
    covariance: Array
    fisher: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Subspace:
    """The directions of a layer's outputs, those that matter most first.

    Attributes:
        images: Number of images it was found from.
        mean: [outputs] mean output.
        forward: [outputs, outputs]: its first r columns are P₁.
        backward: [outputs, outputs]: its first r rows are P₂.
        loss: [outputs] share of Σλ that is lost if only the directions before one are kept; loss[0] is 1.
    """

    images: int
    mean: Array
    forward: Array
    backward: Array
    loss: Array


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
            None if there were none of these.
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


def compress_head(
    graph: Graph,
    calibration: np.ndarray,
    held_out: np.ndarray | None = None,
    judge: Judge | None = None,
    *,
    rank: int | Literal["auto"] = "auto",
    progress: Progress = lambda _: None,
) -> HeadCompression:
    """Factors the hidden layers of a graph's head where that makes them smaller.

    Args:
        graph: As `HeadCompressor` takes it.
        calibration: As `HeadCompressor` takes it.
        held_out: As `HeadCompressor` takes it.
        judge: As `HeadCompressor` takes it.
        rank: As `HeadCompressor.compress` takes it.
        progress: Called with what is going on.

    Raises:
        UsageError: As `HeadCompressor.compress` does.
        InputError: As `HeadCompressor.compress` does.
    """
    return HeadCompressor(graph, calibration, held_out, judge, progress).compress(rank)


class HeadCompressor:
    """Heads of several ranks of one graph, for which the images are looked at once.

    Args:
        graph: The lowered graph.
        calibration: [N, size, size, 3] uint8 training images that choose the directions.
        held_out: Other training images, on which heads are judged; needed by `auto`.
        judge: Judges heads; needed with held-out images.
        progress: Called with what is going on.
    """

    def __init__(
        self,
        graph: Graph,
        calibration: np.ndarray,
        held_out: np.ndarray | None = None,
        judge: Judge | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        self._graph = graph
        self._calibration = calibration
        self._held_out = held_out
        self._judge = judge
        self._progress = progress

    def compress(self, rank: int | Literal["auto"]) -> HeadCompression:
        """Factors the hidden layers of the head where that makes them smaller.

        Args:
            rank: Width between the two layers that each becomes, or `auto` for the first of `LADDER` that the
                judge lets pass; found by halving, for a larger rank loses less.

        Raises:
            UsageError: If the rank makes no layer smaller.
            InputError: If the images cannot be used, are too few, or the layers answer them with NaN or
                all alike.
        """
        head = self._graph.head
        if rank != "auto" and rank < 1:
            raise UsageError(f"The rank of the head must be at least 1, not {rank}.")
        if rank == "auto":
            self._check_held_out()
        dense = {} if head is None else _wide_layers(head)
        limit = max((_largest_rank(layer) for layer in dense.values()), default=0)
        if head is None or not limit or (rank != "auto" and rank > limit):
            reason = _nothing_to_gain(dense, limit)
            if rank != "auto":
                raise UsageError(f"A head of rank {rank} is not possible: {reason}.")
            return _unchanged(self._graph, reason)
        if rank != "auto":
            small, _ = self._fitted(head, rank)
            return small
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
        reason = (
            f"no rank that makes it smaller keeps its answers; they diverge by {told}"
            if tried
            else f"it gets smaller up to rank {limit}, and the first that is tried is {LADDER[0]}"
        )
        return dataclasses.replace(_unchanged(self._graph, reason), tried=tried)

    def _fitted(self, head: Head, rank: int) -> tuple[HeadCompression, bool]:
        """Returns the head of a rank, and whether the judge lets it pass."""
        from vitsd_export.quantization.low_rank.fitting import fit_head

        small = _compressed(self._graph, head, self._subspaces, rank)
        self._progress(f"fitting the head of rank {rank} to the answers of the whole one")
        fitted = dataclasses.replace(
            small, graph=fit_head(small.graph, self._graph, self._observed)
        )
        if self._held_out is None or self._judge is None:
            return fitted, False
        # What a handful of images teach may be worth nothing on others.
        judged = [
            (*self._judge(self._expected, self._probabilities(each.graph)), each)
            for each in (fitted, small)
        ]
        divergence, passed, best = min(judged, key=lambda each: each[0])
        return dataclasses.replace(best, divergence=divergence, tried={rank: divergence}), passed

    @functools.cached_property
    def _observed(self) -> Array:
        """What the encoder answers to the calibration images."""
        return self._tokens(self._calibration)

    @functools.cached_property
    def _subspaces(self) -> dict[str, Subspace]:
        """Directions of the layers that some rank makes smaller."""
        head = self._graph.head
        dense = {} if head is None else _wide_layers(head)
        names = tuple(name for name, layer in dense.items() if _largest_rank(layer))
        statistics = head_statistics(self._graph, self._observed, names)
        found = {}
        for name in names:
            self._progress(f"finding the directions of {name}")
            found[name] = find_subspace(with_prior(statistics.pop(name), dense[name]), name)
        return found

    @functools.cached_property
    def _unseen(self) -> Array:
        """What the encoder answers to the held-out images."""
        if self._held_out is None:
            raise ValueError("There are no held-out images.")
        return self._tokens(self._held_out)

    @functools.cached_property
    def _expected(self) -> Array:
        """What the graph answers to the held-out images: probabilities."""
        return self._probabilities(self._graph)

    def _tokens(self, images: np.ndarray) -> Array:
        from vitsd_export.quantization.calibration.graph_runner import answers

        self._progress(f"asking the encoder about {len(images)} images")
        return answers(dataclasses.replace(self._graph, head=None), images)

    def _probabilities(self, graph: Graph) -> Array:
        from vitsd_export.quantization.calibration.graph_runner import answers_to_tokens

        return answers_to_tokens(dataclasses.replace(graph, softmax=True), self._unseen)

    def _check_held_out(self) -> None:
        count = 0 if self._held_out is None else len(self._held_out)
        if count < FEWEST_HELD_OUT:
            raise InputError(
                f"The rank of the head is chosen on at least {FEWEST_HELD_OUT} training images that are "
                f"not those of the calibration; {count} were given. Give more images, or a rank."
            )


def head_statistics(
    graph: Graph, tokens: np.ndarray, layers: tuple[str, ...]
) -> dict[str, OutputStatistics]:
    """Sums up the outputs of a head's layers and what the answers make of them.

    Args:
        graph: A graph with a head.
        tokens: [N, tokens, dim] float32: what the graph without its head answers.
        layers: Names of layers of the head.

    Raises:
        InputError: If an output is not finite.
    """
    from vitsd_export.quantization.low_rank.derivatives import head_derivatives, head_outputs

    count = 0
    sums: dict[str, Array] = {}
    squares: dict[str, Array] = {}
    fisher: dict[str, Array] = {}
    for batch in head_outputs(graph, tokens, layers):
        for name, outputs in batch.items():
            wide = outputs.astype(np.float64)
            if name not in sums:
                width = wide.shape[1]
                sums[name] = np.zeros(width)
                squares[name], fisher[name] = np.zeros((2, width, width))
            sums[name] += wide.sum(axis=0)
            squares[name] += wide.T @ wide
        count += len(wide)
    few = tokens[:_FISHER_IMAGES]
    for batch in head_derivatives(graph, few, layers):
        for name, information in batch.items():
            fisher[name] += information / len(few)
    result = {}
    for name in layers:
        mean = sums[name] / count
        covariance = squares[name] / count - np.outer(mean, mean)
        if not (np.isfinite(covariance).all() and np.isfinite(fisher[name]).all()):
            raise InputError(
                f"The layer {name} answers calibration images with NaN or infinity. The model has such "
                "weights; train or save it again."
            )
        result[name] = OutputStatistics(count, mean, covariance, fisher[name])
    return result


def with_prior(statistics: OutputStatistics, layer: Dense) -> OutputStatistics:
    """Returns statistics whose covariance is joined by that of inputs alike and independent.

    Args:
        statistics: Of the layer's outputs.
        layer: The layer.
    """
    kernel = layer.kernel.astype(np.float32)
    prior = (kernel.T @ kernel).astype(np.float64)
    total = float(np.trace(prior))
    if not total:
        return statistics
    share = _PRIOR_IMAGES / statistics.images * float(np.trace(statistics.covariance)) / total
    return dataclasses.replace(statistics, covariance=statistics.covariance + share * prior)


def find_subspace(statistics: OutputStatistics, name: str) -> Subspace:
    """Finds the directions of a layer's outputs that matter to the answers.

    Args:
        statistics: Of the layer.
        name: Of the layer, for messages.

    Raises:
        InputError: If the outputs are all alike, or nothing depends on them.
    """
    covariance, fisher = statistics.covariance, statistics.fisher
    width = len(fisher)
    mean_eigenvalue = float(np.trace(fisher)) / width
    spread = float(np.trace(covariance))
    # The variance of equal numbers is rounding.
    alike = spread <= 1e-10 * float(np.square(statistics.mean).sum())
    if alike or not spread or not mean_eigenvalue:
        raise InputError(
            f"The layer {name} answers all {statistics.images} calibration images alike, or its answer does "
            "not matter: there is nothing to choose directions by. Calibrate on different images like "
            "those that the model will see; if they are, its weights are constant and it needs training."
        )
    factor = np.linalg.cholesky(fisher + _RIDGE * mean_eigenvalue * np.eye(width))
    values, vectors = np.linalg.eigh(factor.T @ covariance @ factor)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    balance = np.maximum(values, _SMALLEST_EIGENVALUE * values[0]) ** 0.25
    kept = np.concatenate([[0], np.cumsum(values)[:-1]]) / values.sum()
    return Subspace(
        images=statistics.images,
        mean=statistics.mean,
        forward=factor @ (vectors / balance),
        backward=np.linalg.solve(factor.T, vectors * balance).T,
        loss=1 - kept,
    )


def factor(layer: Dense, subspace: Subspace, rank: int) -> LowRankDense:
    """Returns a layer that answers in the first directions of a subspace.

    Args:
        layer: The layer.
        subspace: Of its outputs, its bias among them.
        rank: Number of directions.
    """
    forward, backward = subspace.forward[:, :rank], subspace.backward[:rank]
    bias = np.zeros(len(subspace.mean)) if layer.bias is None else layer.bias
    kernel = np.concatenate(
        [
            # A part at a time: a copy of a large kernel in float64 would take twice its memory.
            layer.kernel[start : start + _ROWS_AT_ONCE].astype(np.float64) @ forward
            for start in range(0, len(layer.kernel), _ROWS_AT_ONCE)
        ]
    )
    return LowRankDense(
        Dense(kernel, (bias - subspace.mean) @ forward), Dense(backward, subspace.mean)
    )


def _wide_layers(head: Head) -> dict[str, Dense]:
    return {
        f"head/dense{number}": layer
        for number, layer in enumerate(head.hidden)
        if isinstance(layer, Dense)
    }


def _largest_rank(layer: Dense) -> int:
    """Returns the largest rank that takes fewer weights."""
    inputs, outputs = layer.kernel.shape
    return int((inputs * outputs - 1) // (inputs + outputs))


def _compressed(
    graph: Graph,
    head: Head,
    subspaces: Mapping[str, Subspace],
    rank: int,
) -> HeadCompression:
    hidden: list[Dense | LowRankDense] = []
    layers = []
    for number, layer in enumerate(head.hidden):
        name = f"head/dense{number}"
        if isinstance(layer, Dense) and name in subspaces and rank <= _largest_rank(layer):
            inputs, outputs = layer.kernel.shape
            kept = 1 - float(subspaces[name].loss[rank])
            layers.append(FactoredLayer(name, inputs, outputs, rank, kept))
            hidden.append(factor(layer, subspaces[name], rank))
        else:
            hidden.append(layer)
    small = dataclasses.replace(head, hidden=tuple(hidden))
    return HeadCompression(
        graph=dataclasses.replace(graph, head=small),
        rank=rank,
        layers=tuple(layers),
        weights_before=_count_weights(head),
        weights_after=_count_weights(small),
        divergence=None,
        tried={},
        reason=None,
    )


def _unchanged(graph: Graph, reason: str) -> HeadCompression:
    count = 0 if graph.head is None else _count_weights(graph.head)
    return HeadCompression(graph, None, (), count, count, None, {}, reason)


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
