"""Axes: from values to places, and round numbers to mark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Values whose largest is more than this many times the least are told apart on a logarithmic axis alone.
_LOGARITHMIC_FROM = 5.0


@dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes:
        low: Value at place 0.
        high: Value at place 1.
        is_logarithmic: Whether equal distances are equal ratios.
        ticks: Round values within it.
    """

    low: float
    high: float
    is_logarithmic: bool
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Returns where a value lies, 0 to 1 between low and high."""
        if self.is_logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def scale_of(
    values: Sequence[float], *, may_be_logarithmic: bool, least_span: float, margin: float = 0.08
) -> Scale:
    """Returns an axis that holds all values with a margin at both ends.

    Args:
        values: At least one, all finite.
        may_be_logarithmic: Whether the axis is logarithmic if positive values spread far.
        least_span: Smallest distance of its ends on a linear axis, so that values which hardly differ do not
            seem to.
        margin: Share of the spread that is added at each end.
    """
    low, high = min(values), max(values)
    if may_be_logarithmic and low > 0 and high / low > _LOGARITHMIC_FROM:
        factor = (high / low) ** margin
        low, high = low / factor, high * factor
        return Scale(low, high, True, _logarithmic_ticks(low, high))
    span = max((high - low) * (1 + 2 * margin), least_span)
    middle = (low + high) / 2
    low, high = middle - span / 2, middle + span / 2
    return Scale(low, high, False, _linear_ticks(low, high))


def _linear_ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # Multiplied and rounded, not added up, so that 0.3 is not 0.30000000000000004.
    digits = max(0, 1 - math.floor(math.log10(step)))
    return tuple(round(number * step, digits) for number in range(first, last + 1))


def _logarithmic_ticks(low: float, high: float) -> tuple[float, ...]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: tuple[float, ...] = ()
    # The coarsest set of ticks that has three of them.
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        found = tuple(
            round(factor * 10.0**power, 1 - power)
            for power in powers
            for factor in factors
            if low <= factor * 10.0**power <= high
        )
        if len(found) >= 4:
            break
    return found
