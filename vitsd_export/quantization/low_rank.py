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
from vitsd_export.quantization.held_out import FEWEST_HELD_OUT

# Ranks that `auto` tries: steps of a third to a half, multiples of what SIMD units take at once.
LADDER = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
SUFFICIENT_AGREEMENT = 0.995

# Added to the Fisher information, by its mean eigenvalue, so that it has an inverse. Zero, a tenth and a
# whole are equally good on held-out images.
_RIDGE = 0.1
# Eigenvalues below this share of the first are noise.
_SMALLEST_EIGENVALUE = 1e-12
_ROWS_AT_ONCE = 512

Progress = Callable[[str], None]


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
        agreement: Share of held-out images on which both graphs name the same class first; None if there were
            none of these.
        tried: Agreement by rank, of all ranks that were tried.
        reason: Why the head stays as it is; None if it does not.
    """

    graph: Graph
    rank: int | None
    layers: tuple[FactoredLayer, ...]
    weights_before: int
    weights_after: int
    agreement: float | None
    tried: Mapping[int, float]
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            "rank": self.rank,
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
            "weights_before": self.weights_before,
            "weights_after": self.weights_after,
            "agreement": self.agreement,
            "tried": {str(rank): share for rank, share in self.tried.items()},
            "reason": self.reason,
        }


def compress_head(
    graph: Graph,
    calibration: np.ndarray,
    held_out: np.ndarray | None = None,
    *,
    rank: int | Literal["auto"] = "auto",
    sufficient_agreement: float = SUFFICIENT_AGREEMENT,
    progress: Progress = lambda _: None,
) -> HeadCompression:
    """Factors the hidden layers of a graph's head where that makes them smaller.

    Args:
        graph: As `HeadCompressor` takes it.
        calibration: As `HeadCompressor` takes it.
        held_out: As `HeadCompressor` takes it.
        rank: As `HeadCompressor.compress` takes it.
        sufficient_agreement: As `HeadCompressor.compress` takes it.
        progress: Called with what is going on.

    Raises:
        UsageError: As `HeadCompressor.compress` does.
        InputError: As `HeadCompressor.compress` does.
    """
    compressor = HeadCompressor(graph, calibration, held_out, progress)
    return compressor.compress(rank, sufficient_agreement=sufficient_agreement)


class HeadCompressor:
    """Heads of several ranks of one graph, for which the images are looked at once.

    Args:
        graph: The lowered graph.
        calibration: [N, size, size, 3] uint8 training images that choose the directions.
        held_out: Other training images, on which the rank is chosen; needed by `auto`.
        progress: Called with what is going on.
    """

    def __init__(
        self,
        graph: Graph,
        calibration: np.ndarray,
        held_out: np.ndarray | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        self._graph = graph
        self._calibration = calibration
        self._held_out = held_out
        self._progress = progress

    def compress(
        self,
        rank: int | Literal["auto"],
        *,
        sufficient_agreement: float = SUFFICIENT_AGREEMENT,
    ) -> HeadCompression:
        """Factors the hidden layers of the head where that makes them smaller.

        Args:
            rank: Width between the two layers that each becomes, or `auto` for the first of `LADDER` that
                keeps `sufficient_agreement` on the held-out images.
            sufficient_agreement: Share of images on which the model must name the same class as before.

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
        ranks = [step for step in LADDER if step <= limit] if rank == "auto" else [rank]
        candidates = [step for step in ranks if step < len(self._calibration)]
        if not candidates:
            least = ranks[0] if ranks else LADDER[0]
            raise InputError(
                f"A head of rank {least} has more directions than {len(self._calibration)} images can "
                f"tell apart. Calibrate on more than {least} images, better ten times as many."
            )
        tried: dict[int, float] = {}
        for candidate in candidates:
            self._progress(f"trying rank {candidate}")
            small = _compressed(self._graph, head, self._subspaces, candidate)
            if self._held_out is None:
                return small
            tried[candidate] = self._agreement(small.graph)
            if rank != "auto" or tried[candidate] >= sufficient_agreement:
                return dataclasses.replace(small, agreement=tried[candidate], tried=tried)
        reason = (
            f"no rank keeps the class of {sufficient_agreement:.2%} of the held-out images; rank "
            f"{candidate} keeps {tried[candidate]:.2%}"
        )
        return dataclasses.replace(_unchanged(self._graph, reason), tried=tried)

    @functools.cached_property
    def _subspaces(self) -> dict[str, Subspace]:
        """Directions of the layers that some rank makes smaller."""
        head = self._graph.head
        dense = {} if head is None else _wide_layers(head)
        names = tuple(name for name, layer in dense.items() if _largest_rank(layer))
        self._progress(f"observing the head on {len(self._calibration)} images")
        statistics = head_statistics(self._graph, self._calibration, names)
        found = {}
        for name in names:
            self._progress(f"finding the directions of {name}")
            found[name] = find_subspace(statistics.pop(name), name)
        return found

    @functools.cached_property
    def _tokens(self) -> Array:
        """What the encoder answers to the held-out images."""
        from vitsd_export.quantization.graph_runner import answers

        if self._held_out is None:
            raise ValueError("There are no held-out images.")
        self._progress(f"asking the encoder about {len(self._held_out)} images")
        return answers(dataclasses.replace(self._graph, head=None), self._held_out)

    @functools.cached_property
    def _classes(self) -> Array:
        """The classes that the graph names of the held-out images."""
        return self._named(self._graph)

    def _named(self, graph: Graph) -> Array:
        from vitsd_export.quantization.graph_runner import answers_to_tokens

        return np.asarray(answers_to_tokens(graph, self._tokens).argmax(axis=1))

    def _agreement(self, graph: Graph) -> float:
        return float(np.mean(self._named(graph) == self._classes))

    def _check_held_out(self) -> None:
        count = 0 if self._held_out is None else len(self._held_out)
        if count < FEWEST_HELD_OUT:
            raise InputError(
                f"The rank of the head is chosen on at least {FEWEST_HELD_OUT} training images that are "
                f"not those of the calibration; {count} were given. Give more images, or a rank."
            )


def head_statistics(
    graph: Graph, images: np.ndarray, layers: tuple[str, ...]
) -> dict[str, OutputStatistics]:
    """Sums up the outputs of a head's layers and what the answers make of them.

    Args:
        graph: A graph with a head.
        images: [N, size, size, 3] uint8.
        layers: Names of layers of the head.

    Raises:
        InputError: If the images are not what the graph takes, or an output is not finite.
    """
    from vitsd_export.quantization.head_derivatives import head_derivatives

    count = 0
    sums: dict[str, Array] = {}
    squares: dict[str, Array] = {}
    fisher: dict[str, Array] = {}
    for batch in head_derivatives(graph, images, layers):
        for name, (outputs, information) in batch.items():
            wide = outputs.astype(np.float64)
            if name not in sums:
                width = wide.shape[1]
                sums[name] = np.zeros(width)
                squares[name], fisher[name] = np.zeros((2, width, width))
            sums[name] += wide.sum(axis=0)
            squares[name] += wide.T @ wide
            fisher[name] += information
        count += len(wide)
    result = {}
    for name in layers:
        mean = sums[name] / count
        covariance = squares[name] / count - np.outer(mean, mean)
        if not (np.isfinite(covariance).all() and np.isfinite(fisher[name]).all()):
            raise InputError(
                f"The layer {name} answers calibration images with NaN or infinity. The model has such "
                "weights; train or save it again."
            )
        result[name] = OutputStatistics(count, mean, covariance, fisher[name] / count)
    return result


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
        agreement=None,
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
