"""Rounding of a dense layer's weights to int4 so that its answers on real inputs change least.

GPTQ (Frantar et al., arXiv:2210.17323): the weights of one input are rounded after the other, and those not
yet rounded make up for the error, as the inputs' second moments H = E[x xᵀ] say they can. With the upper
Cholesky factor U of H⁻¹, rounding the weights w_i of input i to q_i changes all later ones by

    w_j ← w_j - (w_i - q_i) U_ij / U_ii.
"""

import dataclasses

import numpy as np

from vitsd_export.lowering.graph import Array

# -8 is left out, as the format's symmetric weights ask.
_LEVELS = 7
# Share of the mean moment that is added to each: inputs that the images leave nearly without one would
# else take all the error.
_DAMPING = 0.01
# A block's largest weight may be cut off a little, if the others gain more.
_CUTS = np.linspace(0.7, 1.0, 7)


@dataclasses.dataclass(frozen=True)
class BlockwiseWeights:
    """Weights in int4, with a scale a block of inputs.

    Attributes:
        integers: [inputs, outputs] int8, from -7 to 7.
        scales: [inputs / block, outputs] float16.
    """

    integers: Array
    scales: Array

    def dequantized(self) -> Array:
        """[inputs, outputs] float64."""
        block = len(self.integers) // len(self.scales)
        return self.integers * np.repeat(self.scales.astype(np.float64), block, axis=0)


def round_to_int4(kernel: Array, moments: Array, block: int) -> BlockwiseWeights:
    """Rounds a kernel.

    Args:
        kernel: [inputs, outputs].
        moments: The inputs' second moments, [inputs, inputs].
        block: Number of inputs that share a scale; it divides the inputs.
    """
    weights = np.array(kernel, np.float64)
    inputs, outputs = weights.shape
    factor = _inverse_factor(np.asarray(moments, np.float64))
    integers = np.zeros((inputs, outputs), np.int8)
    scales = np.zeros((inputs // block, outputs), np.float16)
    for start in range(0, inputs, block):
        end = start + block
        scale = _scale(weights[start:end])
        scales[start // block] = scale
        errors = np.zeros((block, outputs))
        for index in range(start, end):
            integers[index] = np.clip(np.round(weights[index] / scale), -_LEVELS, _LEVELS)
            error = (weights[index] - integers[index] * scale) / factor[index, index]
            weights[index + 1 : end] -= np.outer(factor[index, index + 1 : end], error)
            errors[index - start] = error
        # All inputs beyond the block at once: a matrix product in place of many outer ones.
        weights[end:] -= factor[start:end, end:].T @ errors
    return BlockwiseWeights(integers, scales)


def _inverse_factor(moments: Array) -> Array:
    """The upper Cholesky factor of the inverse."""
    damping = _DAMPING * np.trace(moments) / len(moments)
    damped = moments + np.eye(len(moments)) * (damping or 1.0)
    return np.asarray(np.linalg.cholesky(np.linalg.inv(damped)).T)


def _scale(weights: Array) -> Array:
    """For each output the scale of a block, [outputs] float64 of float16 values, of least square error."""
    largest = np.abs(weights).max(axis=0)
    # float16 has nothing below 2^-24; a block of zeros takes any scale.
    candidates = [_half(np.where(largest > 0, largest * cut / _LEVELS, 1.0)) for cut in _CUTS]
    errors = [
        np.square(np.clip(np.round(weights / scale), -_LEVELS, _LEVELS) * scale - weights).sum(
            axis=0
        )
        for scale in candidates
    ]
    best = np.argmin(errors, axis=0)
    return np.asarray(np.take_along_axis(np.array(candidates), best[None], axis=0)[0])


def _half(scale: Array) -> Array:
    return np.maximum(scale.astype(np.float16).astype(np.float64), 2.0**-24)
