"""Attention weights in int8, whose rows are divided by their sums only after the product with the values.

LiteRT's own SOFTMAX answers int8 in steps of 1/256, which is about what one of many tokens gets. Here a
row's largest weight always takes all of int8:

    powers = exp(score - largest score of the row), from a table,
    weights = powers · row_gain(sum of the powers),
    answer = (weights · values) / (sum of the weights).

The sums are exact, and what is made of them is looked up in tables.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vitsd_export.quantization.integer_only.arithmetic import (
    INT8_MAX,
    INT8_MIN,
    IntegerArithmetic,
    Quantized,
)
from vitsd_export.quantization.row_gain import MASKED_BELOW, row_gain

# What lies between 0 and 1 takes all of int8.
_UNIT = INT8_MAX - INT8_MIN
# Sums of a row are looked up in steps of 4/255: at a sum of 1, the least there is, 0.8 % off at most.
_SUM_SHIFT = 2


def masked_scores(
    arithmetic: IntegerArithmetic, scores: Quantized, mask: np.ndarray, name: str
) -> Quantized:
    """Writes scores [..., rows, tokens]; those under the mask are as low as int8 goes.

    The mask [rows, tokens] is below `MASKED_BELOW` where there is to be no attention.
    """
    # -128 steps of twice the size: from any score down to the lowest.
    values = np.where(mask < MASKED_BELOW, INT8_MIN, 0)
    constant = arithmetic.writer.tensor(
        f"{arithmetic.full_name(name)}/mask",
        mask.shape,
        "int8",
        scale=2 * scores.scale,
        values=values,
    )
    masked = arithmetic.int8(name, scores.shape, scores.scale)
    return arithmetic.int8_operator("ADD", [scores.index, constant], masked)


def attention_weights(arithmetic: IntegerArithmetic, scores: Quantized) -> Quantized:
    """Writes the weights of masked scores [..., rows, tokens]; their `row_factor` is 1 / the sum of a row."""
    shape = scores.shape
    largest = arithmetic.reduced("REDUCE_MAX", scores, len(shape) - 1, "largest", keep=True)
    # The difference of two int8 numbers, 0 to -255, has all its places.
    difference = arithmetic.int8("difference", shape, scores.scale, INT8_MAX)
    arithmetic.int8_operator("SUB", [scores.index, largest.index], difference)
    powers = arithmetic.int8_operator("EXP", [difference.index], _unit(arithmetic, "powers", shape))
    # The largest power of a row is 1, so its sum is no less.
    steps = np.arange((_UNIT * shape[-1] >> _SUM_SHIFT) + 1) * 2**_SUM_SHIFT
    sums = np.maximum(steps / _UNIT, 1)
    gain = _of_row_sums(arithmetic, powers, row_gain(sums), "gain")
    weights = _unit(arithmetic, "weights", shape)
    arithmetic.int8_operator("MUL", [powers.index, gain.index], weights)
    factor = _of_row_sums(arithmetic, weights, 1 / sums, "factor")
    return dataclasses.replace(weights, row_factor=factor)


def _unit(arithmetic: IntegerArithmetic, name: str, shape: Sequence[int]) -> Quantized:
    return arithmetic.int8(name, shape, 1 / _UNIT, INT8_MIN)


def _of_row_sums(
    arithmetic: IntegerArithmetic, x: Quantized, table: np.ndarray, name: str
) -> Quantized:
    """A function of the sums of x's rows; both it and x lie between 0 and 1."""
    shape = (*x.shape[:-1], 1)
    with arithmetic.scope(name):
        integers = arithmetic.cast(x.index, "int32", x.shape)
        total = arithmetic.sum(integers, "sum", x.shape)
        from_zero = arithmetic.scalar(-INT8_MIN * x.shape[-1], shape)
        total = arithmetic.binary("ADD", total, from_zero, "sum/from_zero", shape)
        by = arithmetic.scalar(_SUM_SHIFT, shape)
        index = arithmetic.binary("RIGHT_SHIFT", total, by, "sum/index", shape)
        entries = np.round(table * _UNIT) + INT8_MIN
        found = arithmetic.look_up(index, entries, "found", shape)
        y = _unit(arithmetic, "int8", shape)
    arithmetic.writer.operator("CAST", [found], y.index, options="CastOptions")
    return y
