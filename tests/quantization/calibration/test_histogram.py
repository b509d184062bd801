"""Ranges of activations by method, against brute force on the values themselves."""

import numpy as np
import pytest

from vitsd_export.quantization.calibration.histogram import (
    BINS,
    METHODS,
    PERCENTILE,
    GrowingHistogram,
    Histogram,
    choose_range,
)


def collected(*batches: np.ndarray) -> Histogram:
    """A histogram of values that came in these batches."""
    growing = GrowingHistogram()
    for batch in batches:
        growing.add(batch)
    return growing.histogram()


def values_with_tail(seed: int = 3) -> np.ndarray:
    """Normal values, of which a few lie far out."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.5, 1.0, 200_000)
    values[:40] *= 30
    return values


def test_counts_are_those_of_numpy() -> None:
    values = values_with_tail()
    histogram = collected(values)
    assert histogram.limit == 2 ** np.ceil(np.log2(np.abs(values).max()))
    expected, _ = np.histogram(values, BINS, (-histogram.limit, histogram.limit))
    np.testing.assert_array_equal(histogram.counts, expected)


def test_the_order_of_the_values_does_not_matter() -> None:
    values = values_with_tail()
    whole = collected(values)
    for order in (np.sort(values), np.sort(values)[::-1]):
        parts = collected(*np.array_split(order, 23))
        assert parts.limit == whole.limit
        np.testing.assert_array_equal(parts.counts, whole.counts)


def test_zeros_before_and_after_other_values_are_counted() -> None:
    histogram = collected(np.zeros(5), np.array([3.0, -1.0]), np.zeros(2))
    assert histogram.limit == 4
    assert histogram.counts.sum() == 9
    assert histogram.counts[BINS // 2] == 7


@pytest.mark.parametrize("method", METHODS)
def test_a_range_lies_within_the_extremes(method: str) -> None:
    values = values_with_tail()
    low, high = choose_range(collected(values), values.min(), values.max(), method)  # type: ignore[arg-type]
    assert values.min() <= low < high <= values.max()
    if method == "minmax":
        assert (low, high) == (values.min(), values.max())
    else:
        assert high < 0.8 * values.max()


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_keeps_its_range(method: str) -> None:
    for constant in (0.0, 2.5, -1.0):
        values = np.full(100, constant)
        range_ = choose_range(collected(values), constant, constant, method)  # type: ignore[arg-type]
        assert range_ == (constant, constant)


def test_percentile_leaves_out_as_many_as_it_says() -> None:
    values = np.random.default_rng(0).normal(size=1_000_000)
    low, high = choose_range(collected(values), values.min(), values.max(), "percentile")
    beyond = 1 - PERCENTILE / 100
    for share in ((values < low).mean(), (values > high).mean()):
        # A bin of the histogram is a few hundredths of the values' range.
        assert 0.2 * beyond < share <= beyond


def test_mse_is_the_shrinkage_with_the_least_square_error() -> None:
    values = values_with_tail()
    low, high = values.min(), values.max()

    def error(shrink: float) -> float:
        lowest, step = low * shrink, (high - low) * shrink / 255
        rounded = np.clip(np.rint((values - lowest) / step), 0, 255) * step + lowest
        return float(np.square(rounded - values).mean())

    chosen_low, chosen_high = choose_range(collected(values), low, high, "mse")
    assert chosen_low / low == pytest.approx(chosen_high / high)
    shrinkages = np.linspace(1.0, 0.2, 81)
    best = shrinkages[int(np.argmin([error(shrink) for shrink in shrinkages]))]
    assert error(chosen_low / low) == pytest.approx(error(best), rel=0.05)


def test_entropy_keeps_everything_of_a_uniform_distribution() -> None:
    values = np.linspace(-2, 2, 50_001)
    low, high = choose_range(collected(values), -2.0, 2.0, "entropy")
    assert (low, high) == pytest.approx((-2, 2), rel=0.03)
