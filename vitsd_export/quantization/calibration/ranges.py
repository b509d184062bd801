"""What a model's activations look like over calibration images."""

import dataclasses
import math

import numpy as np

from vitsd_export.errors import InputError
from vitsd_export.lowering.program import GEOMETRY_SCOPE
from vitsd_export.quantization.calibration.histogram import (
    GrowingHistogram,
    Histogram,
    Method,
    choose_range,
)

# LiteRT's operators that hold nearly all weights and multiply-adds.
WEIGHTED_OPERATORS = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")


@dataclasses.dataclass(frozen=True)
class Activation:
    """A tensor's values over all calibration images.

    Attributes:
        low: Smallest value, or the lower end of the range that was chosen.
        high: Largest value, or the upper end of the range that was chosen.
        variance: Mean square deviation from the mean.
        histogram: How often each value occurs; None where only the extremes were asked for.
    """

    low: float
    high: float
    variance: float
    histogram: Histogram | None = dataclasses.field(default=None, compare=False)

    @property
    def finite(self) -> bool:
        """Whether no value was NaN or infinite."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def int8_sqnr(self) -> float:
        """Signal-to-quantization-noise ratio of int8 over this range, in decibels.

        Rounding to steps of Δ leaves noise of power Δ²/12 (Widrow and Kollár, Quantization Noise, 2008);
        each 6.02 dB is one effective bit. A constant has no signal: -∞.
        """
        # The integers must hold zero exactly, so the range reaches to it.
        step = (max(self.high, 0.0) - min(self.low, 0.0)) / 255
        if not self.variance or not step:
            return -math.inf
        return 10 * math.log10(12 * self.variance / step**2)

    def ranged(self, method: Method) -> "Activation":
        """Returns this activation with the range that a calibration method gives it.

        Raises:
            ValueError: If the method needs a histogram that was not collected.
        """
        if method == "minmax":
            return self
        if self.histogram is None:
            raise ValueError(f"{method} needs histograms.")
        low, high = choose_range(self.histogram, self.low, self.high, method)
        return dataclasses.replace(self, low=low, high=high)


@dataclasses.dataclass(frozen=True)
class WeightedLayer:
    """An operator with weights.

    Attributes:
        input: Name of the activation that enters it.
        output: Name of the activation that leaves it; unique in the model.
    """

    input: str
    output: str


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What the images said.

    Attributes:
        layers: The weighted operators in order of execution.
        activations: Every tensor that enters one of them, by name; those that leave one too, where the
            runtime rounds these.
        images: Number of images.
        moments: Σ x xᵀ over all rows x of a dense layer's input, by the input's name, in groups of
            `rounding.GROUP` of its numbers; empty where they were not asked for.
    """

    layers: tuple[WeightedLayer, ...]
    activations: dict[str, Activation]
    images: int
    moments: dict[str, list[np.ndarray]] = dataclasses.field(default_factory=dict)

    def layers_above(self, sqnr: float) -> tuple[WeightedLayer, ...]:
        """Returns the layers whose input and output both keep a ratio of `sqnr` decibels in int8."""
        return tuple(layer for layer in self.layers if self.int8_sqnr(layer) >= sqnr)

    def int8_sqnr(self, layer: WeightedLayer) -> float:
        """Returns the worse ratio of a layer's input and output in int8, in decibels."""
        names = (layer.input, layer.output)
        return min(self.activations[name].int8_sqnr for name in names if name in self.activations)

    def ranged(self, method: Method) -> "Calibration":
        """Returns the same with the ranges that a calibration method gives the activations.

        Raises:
            InputError: If an activation is not finite on some image.
        """
        for name, activation in self.activations.items():
            if not activation.finite:
                raise InputError(
                    f"The activation {name} is not finite on the calibration images: {activation.low} "
                    f"to {activation.high}. The model has NaN or infinite weights; train or save it "
                    "again."
                )
        ranged = {name: activation.ranged(method) for name, activation in self.activations.items()}
        return dataclasses.replace(self, activations=ranged)


def is_geometry(output: str) -> bool:
    """Whether the operator that answers this tensor moves and sums pixels, and holds no trained weights.

    There are few of these and their constants are small, but their rounding would fall on the image
    itself, before a LayerNorm that makes the faintest patches as large as the others.
    """
    return output.startswith(f"{GEOMETRY_SCOPE}/")


class Spread:
    """Extremes and moments of a tensor, batch by batch.

    Args:
        histogram: Whether to count how often each value occurs as well.
    """

    def __init__(self, histogram: bool = False) -> None:
        self._low, self._high = math.inf, -math.inf
        self._count = 0
        self._sum = self._sum_of_squares = 0.0
        self._histogram = GrowingHistogram() if histogram else None

    def add(self, value: np.ndarray) -> None:
        """Adds the values of some images."""
        # Not min() and max(): NaN has to stay.
        self._low = float(np.minimum(self._low, value.min()))
        self._high = float(np.maximum(self._high, value.max()))
        wide = value.astype(np.float64).ravel()
        self._count += wide.size
        self._sum += float(wide.sum())
        # Not wide @ wide: the threads that BLAS starts for it take far longer than the sum does.
        self._sum_of_squares += float(np.square(wide).sum())
        if self._histogram is not None and math.isfinite(self._low + self._high):
            self._histogram.add(wide)

    def activation(self) -> Activation:
        """Returns what was found."""
        mean = self._sum / self._count
        variance = max(0.0, self._sum_of_squares / self._count - mean**2)
        histogram = self._histogram.histogram() if self._histogram is not None else None
        return Activation(self._low, self._high, variance, histogram)
