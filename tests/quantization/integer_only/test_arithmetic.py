"""Plain integer arithmetic in LiteRT, against NumPy."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.support.litert_runs import run
from vitsd_export.quantization.integer_only.arithmetic import (
    FixedPoint,
    IntegerArithmetic,
    Quantized,
)
from vitsd_export.quantization.litert.writer import LiteRTWriter

SHAPE = (6, 10)
NUMBERS = np.random.default_rng(4).integers(-100_000, 100_000, SHAPE).astype(np.int32)


def compute(x: np.ndarray, write: Callable[[IntegerArithmetic, int], int]) -> np.ndarray:
    """Answers of what is written, to x, without and with XNNPACK."""
    writer = LiteRTWriter()
    arithmetic = IntegerArithmetic(writer)
    image = writer.tensor("x", x.shape, x.dtype.name, scale=1.0 if x.dtype == np.int8 else None)
    content = writer.content({"x": image}, {"y": write(arithmetic, image)})
    plain, delegated = (run(content, {"x": x}, delegate=delegate) for delegate in (False, True))
    np.testing.assert_array_equal(plain, delegated)
    return plain


@pytest.mark.parametrize("bits", [0, 1, 4, 15])
def test_shift_rounds_to_the_nearest(bits: int) -> None:
    found = compute(NUMBERS, lambda on, x: on.shift(x, bits, "shifted", SHAPE))
    np.testing.assert_array_equal(found, np.floor(NUMBERS / 2**bits + 0.5))


def test_sum_is_exact() -> None:
    found = compute(NUMBERS, lambda on, x: on.sum(x, "sum", SHAPE))
    np.testing.assert_array_equal(found, NUMBERS.sum(axis=1, keepdims=True))


def test_what_lies_beyond_int8_is_cut_off() -> None:
    x = np.arange(-200, 200, dtype=np.int32).reshape(40, 10)
    found = compute(x, lambda on, x: on.saturated(x, "y", (40, 10), 0.1).index)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, np.clip(x, -128, 127))


def test_what_lies_beyond_a_table_has_its_last_entry() -> None:
    table = np.array([7, -3, 12, 5])
    x = np.array([[0, 1, 2, 3, 4, 2**31 - 1]], np.int32)
    found = compute(x, lambda on, x: on.look_up(x, table, "y", (1, 6)))
    np.testing.assert_array_equal(found, [[7, -3, 12, 5, 5, 5]])


@pytest.mark.parametrize("zero_point", [0, -128, 9])
def test_zero_is_zero_in_fixed_point(zero_point: int) -> None:
    x = np.arange(-128, 127, dtype=np.int8).reshape(5, 51)
    made: list[FixedPoint] = []

    def write(on: IntegerArithmetic, index: int) -> int:
        made.append(on.fixed(Quantized(index, (5, 51), 0.3, zero_point), "y"))
        return made[0].index

    found = compute(x, write)
    np.testing.assert_array_equal(found, x.astype(np.int32) - zero_point)
    assert np.abs(found).max() <= made[0].bound <= 255


def test_equal_constants_are_one_tensor() -> None:
    on = IntegerArithmetic(LiteRTWriter())
    assert on.scalar(5, (2, 3)) == on.scalar(5, (7, 1)) != on.scalar(5, (2,))
    assert on.constant([1, 2]) == on.constant(np.array([1.0, 2.0]))
