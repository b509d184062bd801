"""What passes through a model, by tensor: extremes, and a histogram of magnitudes that needs no range."""

import dataclasses
import math

import numpy as np

# A bin is all float32 numbers of one exponent and one beginning of the mantissa, sixteen an octave: fine
# enough to choose a limit, known before the first image, and found without a logarithm.
_DROPPED_BITS = 19
_INFINITY = 0x7F800000
_EDGES = (np.arange((_INFINITY >> _DROPPED_BITS) + 1, dtype=np.int32) << _DROPPED_BITS).view(
    np.float32
)
_MIDDLES = (_EDGES[:-1].astype(np.float64) + np.minimum(_EDGES[1:], np.finfo(np.float32).max)) / 2


@dataclasses.dataclass(frozen=True)
class Record:
    """A tensor's values over all images.

    Attributes:
        low: Smallest value.
        high: Largest value.
        magnitudes: How many values' magnitudes fall into each bin of the histogram.
    """

    low: float
    high: float
    magnitudes: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Record":
        """Counts float32 values of any shape."""
        bits = np.ascontiguousarray(values, np.float32).ravel().view(np.int32)
        bins = (bits & 0x7FFFFFFF) >> _DROPPED_BITS
        counts = np.bincount(bins, minlength=len(_MIDDLES))[: len(_MIDDLES)]
        return cls(float(values.min()), float(values.max()), counts)

    def __add__(self, other: "Record") -> "Record":
        """The record of both records' values."""
        # Not min() and max(): NaN has to stay.
        return Record(
            float(np.minimum(self.low, other.low)),
            float(np.maximum(self.high, other.high)),
            self.magnitudes + other.magnitudes,
        )

    @property
    def finite(self) -> bool:
        """Whether no value was NaN or infinite."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def best_limit(self, levels: int) -> float:
        """The magnitude to cut off at, so that rounding and cutting together err least in mean square.

        Rounding to steps of Δ errs by Δ²/12. A tensor's few largest values often are twice as large as all
        others: cutting them off gives the others a bit more.

        Args:
            levels: Steps from zero to the limit.
        """
        filled = np.flatnonzero(self.magnitudes)
        largest = max(abs(self.low), abs(self.high))
        if not largest:
            # Nothing but zeros: any scale will do.
            return 1.0
        middles, counts = _MIDDLES[filled], self.magnitudes[filled]
        limits = np.minimum(_EDGES[1:][filled], largest)
        cut = np.square(np.maximum(middles[None, :] - limits[:, None], 0)) @ counts
        rounding = counts.sum() * np.square(limits / levels) / 12
        return float(limits[np.argmin(cut + rounding)])


@dataclasses.dataclass
class Records:
    """What passed through a graph.

    Attributes:
        tensors: By name: what dense layers, products, norms, GELUs and means answer; of a LayerNorm also
            `/variance`, and of a product with attention weights `/unnormalized` (see `row_gain`).
        summands: Names of those that are added to the residual stream.
    """

    tensors: dict[str, Record] = dataclasses.field(default_factory=dict)
    summands: set[str] = dataclasses.field(default_factory=set)

    def add(self, name: str, values: np.ndarray) -> None:
        """Adds a tensor's values on more images."""
        record = Record.of(values)
        known = self.tensors.get(name)
        self.tensors[name] = record if known is None else known + record


def row_gain(row_sums: np.ndarray) -> np.ndarray:
    """What a row of exponentials is multiplied by before its product with the values, given its sum.

    exp(score - largest score) is at most 1, and the sum over a row lies between 1 and the number of
    tokens. Divided by their sum, rows of many like weights would keep few steps of int8; as they are,
    rows of one large weight would keep few in the product. The root of the sum shares the loss.
    """
    return np.asarray(1 / np.sqrt(row_sums))
