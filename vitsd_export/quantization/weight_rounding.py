"""Rounds weights to the integers of a quantizer so that the layers' outputs change least.

Rounding each weight to the nearest integer is not what keeps a layer's outputs: rounded up, one weight can make
up for another that was rounded down, as far as their inputs go together. With H = Σ xᵀx of the calibration
images' inputs x, the outputs change by tr((Q - W)ᵀ H (Q - W)). Rows are rounded one after the other, and the
error e = (w - q) / U_kk of row k is taken off the rows not yet rounded, by the row of U, the upper Cholesky
factor of H⁻¹ (GPTQ: Frantar et al., 2022, arXiv:2210.17323; without its order of columns).

The scale of an output channel, or of a block of its inputs, is chosen too: clipping the largest weights can pay
where there are few integers.

The result is a graph whose weights are integers times a scale, and so that a quantizer that takes the largest
weight for its range, and rounds to the nearest, finds the same integers. Whoever writes artifacts does not have
to know. A channel for which no choice of scale leaves a weight at the end of the range is rounded to the nearest.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vitsd_export.errors import InputError, UsageError
from vitsd_export.lowering.dense_layers import dense_layers, map_dense
from vitsd_export.lowering.graph import Array, Dense, Graph

# Share of the largest weight that becomes the largest integer.
_CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7)
# Added to H, by the mean of its diagonal, so that it has an inverse (arXiv:2210.17323, section 3.3).
_DAMPING = 0.01
# Inputs further apart than this are taken as independent, so that H and its inverse stay small.
_PART = 1024
_ROWS_AT_ONCE = 128


@dataclasses.dataclass(frozen=True)
class Grid:
    """The numbers that a weight can become: -largest … largest, times a scale.

    Attributes:
        largest: Largest integer: 127 in int8, 7 in int4.
        block: Number of inputs that share a scale; None for one scale for each output.
    """

    largest: int
    block: int | None = None


@dataclasses.dataclass(frozen=True)
class RoundedLayer:
    """A layer whose weights were rounded.

    Attributes:
        name: Name of its operator.
        sqnr_nearest: Signal-to-quantization-noise ratio of its outputs in decibels, over the calibration
            images, if every weight were rounded to the nearest integer.
        sqnr: The same as it was rounded.
    """

    name: str
    sqnr_nearest: float
    sqnr: float


def round_weights(
    graph: Graph,
    images: np.ndarray,
    grids: Mapping[str, Grid],
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Graph, tuple[RoundedLayer, ...]]:
    """Rounds the weights of a graph's dense layers.

    Args:
        graph: The lowered graph.
        images: [N, size, size, 3] uint8 training images.
        grids: What the weights can become, by the name of the layer; other layers stay as they are.
        progress: Called with what is going on.

    Returns:
        The graph with rounded weights, and what that changes, in the order of computation.

    Raises:
        UsageError: If the graph has no such layer, or a grid has no integers.
        InputError: If the images are not what the graph takes, or an input of a layer is not finite.
    """
    unknown = sorted(set(grids) - set(dense_layers(graph)))
    if unknown:
        raise UsageError(
            f"The model has no layer {', '.join(unknown)}. Its layers: {', '.join(dense_layers(graph))}."
        )
    for name, grid in grids.items():
        if grid.largest < 1 or (grid.block is not None and grid.block < 1):
            raise UsageError(f"The weights of {name} cannot become {grid}: it holds no integers.")
    progress(f"observing {len(grids)} layers on {len(images)} images")
    moments = input_moments(graph, images, tuple(grids))
    layers: list[RoundedLayer] = []

    def change(name: str, layer: Dense) -> Dense:
        if name not in grids:
            return layer
        progress(f"rounding {name}")
        parts = moments.pop(name)
        kernel = layer.kernel.astype(np.float64)
        nearest = round_to_nearest(kernel, grids[name])
        rounded = round_kernel(kernel, parts, grids[name])
        signal = _power(kernel, parts)
        ratios = [_decibels(signal, _power(found - kernel, parts)) for found in (nearest, rounded)]
        layers.append(RoundedLayer(name, *ratios))
        return Dense(rounded.astype(layer.kernel.dtype), layer.bias)

    return map_dense(graph, change), tuple(layers)


def input_moments(
    graph: Graph, images: np.ndarray, layers: Sequence[str]
) -> dict[str, list[Array]]:
    """Returns mean xᵀx over the inputs x of layers, for each `_PART` of their columns.

    Args:
        graph: The lowered graph.
        images: [N, size, size, 3] uint8.
        layers: Names of layers.

    Raises:
        InputError: If the images are not what the graph takes, or an input is not finite.
    """
    from vitsd_export.quantization.graph_runner import observe

    sums: dict[str, list[Array]] = {}
    rows: dict[str, int] = dict.fromkeys(layers, 0)
    # Query, key and value have one input, whose products are taken once.
    for batch in observe(graph, images, layers):
        for name, (inputs, _) in batch.items():
            rows[name] += len(inputs)
            columns = [inputs[:, part] for part in _parts(inputs.shape[1])]
            if name not in sums:
                sums[name] = [np.zeros((x.shape[1], x.shape[1])) for x in columns]
            for total, x in zip(sums[name], columns, strict=True):
                total += x.T @ x
    for name, parts in sums.items():
        if not all(np.isfinite(total).all() for total in parts):
            raise InputError(
                f"The layer {name} gets NaN or infinity on calibration images. The model has such weights; "
                "train or save it again."
            )
    return {name: [total / rows[name] for total in parts] for name, parts in sums.items()}


def round_to_nearest(kernel: Array, grid: Grid) -> Array:
    """Returns weights [inputs, outputs] rounded to the nearest number of a grid that spans them."""
    rounded = np.empty_like(kernel)
    for rows in _blocks(len(kernel), grid.block):
        scale = _scale(kernel[rows], grid.largest)
        rounded[rows] = np.round(kernel[rows] / scale) * scale
    return rounded


def round_kernel(kernel: Array, moments: Sequence[Array], grid: Grid) -> Array:
    """Returns weights rounded so that x · kernel changes least.

    Args:
        kernel: [inputs, outputs] float64.
        moments: Mean xᵀx of each `_PART` of the inputs.
        grid: What they can become.

    Returns:
        [inputs, outputs]; `round_to_nearest` would leave them as they are.
    """
    best = round_to_nearest(kernel, grid)
    uppers = [_upper_factor(moment) for moment in moments]
    if any(upper is None for upper in uppers):
        return best
    if grid.block is not None:
        candidates: Iterator[Array] = iter(
            [_round_blocks(kernel, uppers, grid.largest, grid.block)]
        )
    else:
        candidates = (_round_channels(kernel, uppers, grid.largest, clip) for clip in _CLIPS)
    least = _errors(best - kernel, moments)
    for rounded in candidates:
        errors = _errors(rounded - kernel, moments)
        again = round_to_nearest(rounded, grid)
        stays = np.isclose(again, rounded, rtol=1e-9, atol=0).all(axis=0)
        better = stays & (errors < least)
        best[:, better] = rounded[:, better]
        least[better] = errors[better]
    return best


def _round_channels(kernel: Array, uppers: Sequence[Any], largest: int, clip: float) -> Array:
    """Rounds with one scale for each output."""
    scale = clip * _scale(kernel, largest)
    rounded = np.empty_like(kernel)
    for part, upper in zip(_parts(len(kernel)), uppers, strict=True):
        rest = kernel[part].copy()
        for rows in _blocks(len(rest), _ROWS_AT_ONCE):
            found, errors, _ = _round_rows(rest[rows], upper[rows, rows], scale, largest)
            rounded[part][rows] = found
            rest[rows.stop :] -= upper[rows, rows.stop :].T @ errors
    return rounded


def _round_blocks(kernel: Array, uppers: Sequence[Any], largest: int, block: int) -> Array:
    """Rounds with a scale for each block of inputs of each output."""
    rounded = np.empty_like(kernel)
    for part, upper in zip(_parts(len(kernel)), uppers, strict=True):
        rest = kernel[part].copy()
        for rows in _blocks(len(rest), block):
            span = _scale(rest[rows], largest)
            # Rounded to the nearest a block always reaches the end of its range.
            best = np.clip(np.round(rest[rows] / span), -largest, largest) * span
            errors = np.linalg.solve(upper[rows, rows].T, rest[rows] - best)
            least = np.square(errors).sum(axis=0)
            for clip in _CLIPS:
                found, own, integers = _round_rows(
                    rest[rows], upper[rows, rows], clip * span, largest
                )
                loss = np.square(own).sum(axis=0)
                better = (np.abs(integers).max(axis=0) == largest) & (loss < least)
                best[:, better], errors[:, better] = found[:, better], own[:, better]
                least[better] = loss[better]
            rounded[part][rows] = best
            rest[rows.stop :] -= upper[rows, rows.stop :].T @ errors
    return rounded


def _round_rows(
    kernel: Array, upper: Array, scale: Array, largest: int
) -> tuple[Array, Array, Array]:
    """Rounds rows one after the other; returns them, their errors e, and the integers."""
    rest = kernel.copy()
    integers, errors = np.empty_like(rest), np.empty_like(rest)
    for row in range(len(rest)):
        integers[row] = np.clip(np.round(rest[row] / scale), -largest, largest)
        errors[row] = (rest[row] - integers[row] * scale) / upper[row, row]
        rest[row + 1 :] -= np.outer(upper[row, row + 1 :], errors[row])
    return integers * scale, errors, integers


def _upper_factor(moment: Array) -> Array | None:
    """Returns U with UᵀU = H⁻¹; None if the inputs are all zero."""
    size = len(moment)
    mean = float(np.trace(moment)) / size
    if not mean:
        return None
    inverse = np.linalg.inv(moment + _DAMPING * mean * np.eye(size))
    return np.asarray(np.linalg.cholesky((inverse + inverse.T) / 2).T)


def _scale(weights: Array, largest: int) -> Array:
    """Returns the scale [outputs] at which the largest weight becomes the largest integer."""
    span = np.abs(weights).max(axis=0)
    return np.asarray(np.where(span == 0, 1, span) / largest)


def _parts(size: int) -> list[slice]:
    return list(_blocks(size, _PART))


def _blocks(size: int, block: int | None) -> Iterator[slice]:
    step = block or size
    for start in range(0, size, step):
        yield slice(start, min(start + step, size))


def _errors(difference: Array, moments: Sequence[Array]) -> Array:
    """Returns the mean square change [outputs] of the outputs by a change of the weights."""
    return np.sum(
        [
            np.einsum("io,io->o", moment @ difference[part], difference[part])
            for part, moment in zip(_parts(len(difference)), moments, strict=True)
        ],
        axis=0,
    )


def _power(kernel: Array, moments: Sequence[Array]) -> float:
    return float(_errors(kernel, moments).sum())


def _decibels(signal: float, noise: float) -> float:
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
