"""Rounding that makes up for its errors, against rounding to the nearest."""

import numpy as np
import pytest

from vitsd_export.quantization.int4 import best_scales, block_size, quantize_blocks
from vitsd_export.quantization.rounding import GROUP, round_columns

RNG = np.random.default_rng(5)


def correlated(rows: int, width: int) -> np.ndarray:
    """Inputs that hang together, as activations do."""
    return RNG.normal(size=(rows, width // 3)) @ RNG.normal(size=(width // 3, width)) + 0.1 * (
        RNG.normal(size=(rows, width))
    )


def answer_error(x: np.ndarray, kernel: np.ndarray, rounded: np.ndarray) -> float:
    """Mean square of what rounding changes in a layer's answers, in float64."""
    change = rounded.astype(np.float64) - kernel.astype(np.float64)
    return float(np.square(x @ change).mean())


@pytest.mark.parametrize("levels", [64, 127])
def test_columns_become_multiples_of_their_largest_magnitude(levels: int) -> None:
    kernel = RNG.normal(size=(96, 40)).astype(np.float32)
    kernel[:, 7] = 0
    x = correlated(500, 96)
    rounded = round_columns(kernel, x.T @ x, levels)
    largest = np.abs(kernel).max(axis=0)
    np.testing.assert_allclose(np.abs(rounded).max(axis=0), largest, rtol=1e-6)
    scale = np.where(largest == 0, 1, largest / levels)
    steps = rounded.astype(np.float64) / scale
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)
    assert not rounded[:, 7].any()


@pytest.mark.parametrize("levels", [64, 127])
def test_answers_change_less_than_by_rounding_to_the_nearest(levels: int) -> None:
    kernel = RNG.normal(size=(96, 40)).astype(np.float32)
    x = correlated(2000, 96)
    scale = np.abs(kernel).max(axis=0) / levels
    nearest = np.rint(kernel / scale) * scale
    # On inputs that were not seen, too.
    seen, unseen = x[:1000], x[1000:]
    rounded = round_columns(kernel, seen.T @ seen, levels)
    for rows in (seen, unseen):
        assert answer_error(rows, kernel, rounded) < 0.5 * answer_error(rows, kernel, nearest)


def test_inputs_that_are_always_zero_do_no_harm() -> None:
    kernel = RNG.normal(size=(48, 8)).astype(np.float32)
    for x in (np.zeros((100, 48)), np.pad(correlated(100, 24), ((0, 0), (0, 24)))):
        rounded = round_columns(kernel, x.T @ x, 127)
        assert np.isfinite(rounded).all()
        assert np.abs(rounded - kernel).max() < 0.2


def test_four_bit_scales_are_the_best_of_many() -> None:
    blocks = RNG.normal(size=(6, 16, 5)).astype(np.float32)
    blocks[2, :, 3] = 0
    scales = best_scales(blocks)

    def error(scale: np.ndarray) -> np.ndarray:
        rounded = np.clip(np.rint(blocks / scale[:, None]), -8, 7) * scale[:, None]
        return np.asarray(np.square(rounded - blocks).sum(axis=1))

    found = error(scales)
    assert scales[2, 3] == 1
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)[:, 0]
    tried = [
        error(np.where(extreme == 0, 1, extreme / divisor))
        for divisor in (*np.arange(7, 13.1, 0.25), *-np.arange(7, 13.1, 0.25))
    ]
    np.testing.assert_allclose(found, np.min(tried, axis=0), rtol=1e-4, atol=1e-9)
    # On the whole a tenth and more below the error of scales that clip nothing.
    assert found.sum() < 0.9 * tried[0].sum()


@pytest.mark.parametrize("width", [96, GROUP + 128])
def test_four_bits_with_moments_change_answers_less(width: int) -> None:
    kernel = RNG.normal(size=(width, 24)).astype(np.float32)
    x = correlated(3000, width)
    block = block_size(width)
    moments = [
        x[:, start : start + GROUP].T @ x[:, start : start + GROUP]
        for start in range(0, width, GROUP)
    ]
    errors = []
    for known in (None, moments):
        integers, scales = quantize_blocks(kernel, block, known)
        assert integers.dtype == np.int8
        assert integers.min() >= -8
        assert integers.max() <= 7
        assert scales.shape == (width // block, 24)
        errors.append(answer_error(x, kernel, integers * np.repeat(scales, block, axis=0)))
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize(
    ("length", "block"), [(9216, 128), (1024, 128), (96, 16), (108, 0), (1100, 0)]
)
def test_columns_divide_into_blocks(length: int, block: int) -> None:
    assert block_size(length) == block
