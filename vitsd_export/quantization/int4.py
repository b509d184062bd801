"""Weights in four bits, with a scale for each block of a column."""

import numpy as np

from vitsd_export.quantization.rounding import GROUP, compensate

_LOWEST, _HIGHEST = -8, 7

# Scales that are tried: the block's extreme by these. With a negative one the extreme takes the side that
# has a number more; beyond 7 or 8 it is clipped.
_DIVISORS = np.concatenate([np.linspace(-13, -7, 25), np.linspace(7, 13, 25)])

# A scale for more numbers is less exact and a smaller file; long columns average the rounding out.
_LONG, _LONG_BLOCK, _BLOCK = 1024, 128, 16


def block_size(length: int) -> int:
    """Returns how many numbers of a column of this length share a scale; 0 if it does not divide."""
    block = _LONG_BLOCK if length >= _LONG else _BLOCK
    return 0 if length % block else block


def quantize_blocks(
    kernel: np.ndarray,
    block: int,
    moments: list[np.ndarray] | None = None,
    *,
    half_scales: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Rounds a kernel to int4.

    With moments of the inputs, what rounding a weight changes in the layer's answers is made up for by
    the weights that are rounded after it: see `rounding.compensate`. A scale is that which leaves the
    block the least square error: below that of the largest magnitude it clips it, and rounds all
    others finer.

    Args:
        kernel: [inputs, outputs] float32.
        block: Inputs that share a scale; divides their number.
        moments: Σ x xᵀ of the inputs, in groups of `GROUP` of them, [group, group] each; None to round
            each weight to the nearest.
        half_scales: Whether scales must be positive numbers of float16, and integers -7 to 7, as XNNPACK
            takes them.

    Returns:
        Integers -8 to 7, [inputs, outputs] int8, and scales, [inputs / block, outputs] float32.
    """
    kernel = np.asarray(kernel, np.float32)
    integers = np.empty(kernel.shape, np.int8)
    scales = np.empty((len(kernel) // block, kernel.shape[1]), np.float32)
    if moments is None:
        scales[:] = best_scales(kernel.reshape(len(scales), block, -1), half=half_scales)
        wide = np.repeat(scales, block, axis=0)
        integers[:] = np.clip(np.rint(kernel / wide), _LOWEST, _HIGHEST)
        return integers, scales
    for number, moment in enumerate(moments):
        rows = slice(number * GROUP, number * GROUP + len(moment))
        places = integers[rows], scales[rows.start // block :]
        _compensate(kernel[rows], block, moment, *places, half=half_scales)
    return integers, scales


def best_scales(blocks: np.ndarray, *, half: bool = False) -> np.ndarray:
    """Returns the scale of each block, of those tried, that leaves the least square error.

    Blocks are [blocks, numbers, columns] float32, scales [blocks, columns] of either sign, 1 for zeros. With
    `half` they are positive numbers of float16, for integers -7 to 7.
    """
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    floor = -_HIGHEST if half else _LOWEST
    least = np.full(extreme.shape, np.inf, np.float32)
    best = np.ones_like(extreme)
    for divisor in _DIVISORS:
        scale = extreme / np.float32(divisor)
        if half:
            # Below 2^-14 float16 has fewer places, which XNNPACK does not take.
            scale = np.maximum(np.abs(scale), 2.0**-14).astype(np.float16).astype(np.float32)
        scale[scale == 0] = 1
        rounded = np.clip(np.rint(blocks / scale), floor, _HIGHEST)
        error = np.square(rounded * scale - blocks).sum(axis=1, keepdims=True)
        better = error < least
        least = np.where(better, error, least)
        best = np.where(better, scale, best)
    return best[:, 0]


def _compensate(
    kernel: np.ndarray,
    block: int,
    moment: np.ndarray,
    integers: np.ndarray,
    scales: np.ndarray,
    *,
    half: bool,
) -> None:
    """Rounds a group of rows into `integers` and `scales`."""

    def begin_block(start: int, rows: np.ndarray) -> None:
        scales[start // block] = best_scales(rows[None].astype(np.float32), half=half)[0]

    lowest = -_HIGHEST if half else _LOWEST

    def round_row(row: int, values: np.ndarray) -> np.ndarray:
        scale = scales[row // block].astype(np.float64)
        levels: np.ndarray = np.clip(np.rint(values / scale), lowest, _HIGHEST)
        integers[row] = levels
        rounded: np.ndarray = levels * scale
        return rounded

    compensate(kernel, moment, block, round_row, begin_block)
