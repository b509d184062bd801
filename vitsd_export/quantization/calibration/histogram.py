"""Histograms of activations, and the ranges that calibration methods read from them."""

import dataclasses
import math
from typing import Literal, get_args

import numpy as np

Method = Literal["minmax", "percentile", "entropy", "mse"]
METHODS: tuple[Method, ...] = get_args(Method)

BINS = 2048

# Share of the values that `percentile` keeps on either side.
PERCENTILE = 99.99

# Ranges that `entropy` and `mse` try: the extremes, shrunk by these.
_SHRINKAGES = np.linspace(1.0, 0.2, 81)
_LEVELS = 255


@dataclasses.dataclass(frozen=True, eq=False)
class Histogram:
    """How often values fell into bins of equal width between -limit and limit.

    Attributes:
        counts: [BINS] int64.
        limit: A power of two at least as large as every value's magnitude.
    """

    counts: np.ndarray
    limit: float

    @property
    def centres(self) -> np.ndarray:
        """Middle of each bin, [BINS]."""
        width = 2 * self.limit / BINS
        return (np.arange(BINS) + 0.5) * width - self.limit


class GrowingHistogram:
    """Collects values of an extent that is not known beforehand.

    Bins lie between powers of two; when a value lies beyond them, pairs of bins become one. So the
    result does not depend on the order of the values.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(BINS, np.int64)
        self._limit = 0.0

    def add(self, values: np.ndarray) -> None:
        """Adds finite values of any shape."""
        largest = float(np.abs(values).max(initial=0.0))
        if largest > self._limit:
            self._grow(2.0 ** math.ceil(math.log2(largest)))
        if self._limit == 0.0:
            self._counts[BINS // 2] += values.size
            return
        scale = BINS / (2 * self._limit)
        bins = ((values.ravel().astype(np.float64) + self._limit) * scale).astype(np.int64)
        # The limit itself belongs to the last bin.
        np.minimum(bins, BINS - 1, out=bins)
        self._counts += np.bincount(bins, minlength=BINS)

    def _grow(self, limit: float) -> None:
        while 0.0 < self._limit < limit:
            halves = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts = np.zeros(BINS, np.int64)
            self._counts[BINS // 4 : BINS // 4 + BINS // 2] = halves
            self._limit *= 2
            if not halves.any():
                break
        self._limit = limit

    def histogram(self) -> Histogram:
        """Returns what was collected."""
        return Histogram(self._counts.copy(), self._limit)


def choose_range(
    histogram: Histogram, low: float, high: float, method: Method
) -> tuple[float, float]:
    """Returns the range that a method gives activations with the extremes `low` and `high`.

    `percentile` leaves out the 0.01 % largest and smallest values. `mse` shrinks the extremes to where
    rounding and clipping to 255 steps together leave the least mean square error (Banner et al.,
    arXiv:1810.05723); `entropy` to where the quantized distribution's Kullback-Leibler divergence
    from the measured one is least (Migacz, "8-bit inference with TensorRT", GTC 2017).
    """
    if method == "minmax" or histogram.limit == 0.0 or low == high:
        return low, high
    if method == "percentile":
        return _percentile(histogram, low, high)
    judge = _square_error if method == "mse" else _divergence
    losses = [judge(histogram, low * shrink, high * shrink) for shrink in _SHRINKAGES]
    # The widest of equally good ranges.
    shrink = float(_SHRINKAGES[int(np.argmin(losses))])
    return low * shrink, high * shrink


def _percentile(histogram: Histogram, low: float, high: float) -> tuple[float, float]:
    cumulated = np.cumsum(histogram.counts) / histogram.counts.sum()
    edges = np.linspace(-histogram.limit, histogram.limit, BINS + 1)
    share = PERCENTILE / 100
    first = int(np.searchsorted(cumulated, 1 - share, side="right"))
    last = int(np.searchsorted(cumulated, share))
    return max(low, float(edges[first])), min(high, float(edges[min(last + 1, BINS)]))


def _square_error(histogram: Histogram, low: float, high: float) -> float:
    low, high = min(low, 0.0), max(high, 0.0)
    centres = histogram.centres
    step = (high - low) / _LEVELS
    beyond = np.maximum(np.maximum(low - centres, centres - high), 0.0)
    noise = np.where(beyond > 0, np.square(beyond), step**2 / 12)
    return float((noise * histogram.counts).sum() / histogram.counts.sum())


def _divergence(histogram: Histogram, low: float, high: float) -> float:
    low, high = min(low, 0.0), max(high, 0.0)
    counts = histogram.counts.astype(np.float64)
    centres = histogram.centres
    # What lies outside is clipped into the outermost bins of the range.
    inside = np.flatnonzero((centres >= low) & (centres <= high))
    if not len(inside):
        return math.inf
    clipped = counts[inside].copy()
    clipped[0] += counts[: inside[0]].sum()
    clipped[-1] += counts[inside[-1] + 1 :].sum()
    level = np.rint((centres[inside] - low) * (_LEVELS / (high - low))).astype(np.int64)
    held = counts[inside] > 0
    mass = np.bincount(level, weights=counts[inside], minlength=_LEVELS + 1)
    members = np.bincount(level, weights=held, minlength=_LEVELS + 1)
    quantized = np.where(held, mass[level] / np.maximum(members[level], 1), 0.0)
    if not quantized.sum():
        return math.inf
    # A little everywhere: where values are clipped into an empty bin the divergence stays finite.
    truth = clipped / clipped.sum()
    guess = (quantized + 1e-3) / (quantized + 1e-3).sum()
    some = truth > 0
    return float((truth[some] * np.log(truth[some] / guess[some])).sum())
