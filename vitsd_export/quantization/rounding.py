"""Rounding of weights that makes up for its own errors."""

from collections.abc import Callable

import numpy as np

# Inputs whose moments are kept together: those of all of a flattened head would fill memory.
GROUP = 1024

# Share of the mean square input that is added to each, so that few images cannot mislead.
_DAMPING = 0.05

# Rows that are rounded before the rows beyond them learn of it.
_BLOCK = 64


def compensate(
    kernel: np.ndarray,
    moment: np.ndarray,
    block: int,
    round_row: Callable[[int, np.ndarray], np.ndarray],
    begin_block: Callable[[int, np.ndarray], None] = lambda start, rows: None,
) -> None:
    """Rounds a kernel row by row; what that changes in the answers, later rows make up for.

    GPTQ (Frantar et al., arXiv:2210.17323, algorithm 1): the error of a row is spread over those that
    are not rounded yet so that Σ |x · change|² over the inputs x becomes least.

    Args:
        kernel: [inputs, outputs].
        moment: Σ x xᵀ of the inputs, [inputs, inputs].
        block: Rows that `begin_block` is told of at a time.
        round_row: Given a row's number and what it should be, [outputs], returns what it becomes.
        begin_block: Given the number of a block's first row and what the rows should be.
    """
    work = kernel.astype(np.float64)
    # A dead input leaves nothing to make up for; any positive moment will do.
    damping = _DAMPING * np.trace(moment) / len(moment) or 1.0
    inverse = np.linalg.inv(moment + damping * np.eye(len(moment)))
    upper = np.linalg.cholesky(inverse).T
    for start in range(0, len(work), block):
        end = min(start + block, len(work))
        begin_block(start, work[start:end])
        errors = np.empty((end - start, work.shape[1]))
        for row in range(start, end):
            errors[row - start] = (work[row] - round_row(row, work[row])) / upper[row, row]
            work[row + 1 : end] -= np.outer(upper[row, row + 1 : end], errors[row - start])
        # The rows of later blocks wait for the sum of all changes.
        work[end:] -= upper[start:end, end:].T @ errors


def round_columns(kernel: np.ndarray, moment: np.ndarray, levels: int) -> np.ndarray:
    """Returns a kernel [inputs, outputs] of whole multiples of each column's largest magnitude / `levels`.

    The largest magnitude of each column stays what it is, so that whoever quantizes the kernel by that
    finds nothing left to round. `moment` is Σ x xᵀ of the inputs, [inputs, inputs].
    """
    largest = np.abs(kernel).argmax(axis=0)
    columns = np.arange(kernel.shape[1])
    extreme = kernel[largest, columns].astype(np.float64)
    scale = np.abs(extreme) / levels
    scale[scale == 0] = 1
    rounded = np.empty(kernel.shape)

    def round_row(row: int, values: np.ndarray) -> np.ndarray:
        integers = np.clip(np.rint(values / scale), -levels, levels)
        values = np.where(largest == row, extreme, integers * scale)
        rounded[row] = values
        return values

    compensate(kernel, moment, _BLOCK, round_row)
    return rounded.astype(np.float32)
