"""Distributions of latencies as geometry: a box plot with the samples, a strip for each candidate."""

from collections.abc import Sequence
from dataclasses import dataclass

from vitsd_export.measure.benchmark.results import Results
from vitsd_export.reports.scale import Scale, scale_of
from vitsd_export.reports.tables import Setting, latency
from vitsd_export.reports.wording import count, milliseconds, plain

# More would be ink: these are evenly spaced quantiles of the samples.
_MOST_MARKS = 60
# A call that the system held up for long would squeeze all others together.
_SHOWN = 0.95


@dataclass(frozen=True)
class Strip:
    """The times of a candidate; places are 0 to 1 along the axis.

    Attributes:
        name: Of the candidate.
        origin: `ours` or `stock`.
        marks: Samples, or evenly spaced quantiles of many.
        low: 10th percentile.
        quarter: 25th.
        median: The middle.
        three_quarters: 75th.
        high: 90th percentile.
        text: The figures in words.
    """

    name: str
    origin: str
    marks: tuple[float, ...]
    low: float
    quarter: float
    median: float
    three_quarters: float
    high: float
    text: str


@dataclass(frozen=True)
class Distributions:
    """The strips of a setting, with their common axis of milliseconds."""

    scale: Scale
    strips: tuple[Strip, ...]


def distributions(results: Results, setting: Setting) -> Distributions | None:
    """Returns the strips at a setting; None if there are no samples."""
    found = []
    for row in results.rows:
        figures = latency(row, setting)
        samples = sorted(value for value in figures.samples if value > 0) if figures else []
        if samples:
            found.append((row, samples))
    if not found:
        return None
    shown = [_quantile(samples, share) for _, samples in found for share in (0, _SHOWN)]
    scale = scale_of(shown, may_be_logarithmic=True, least_span=max(shown) * 0.2, margin=0.03)
    strips = []
    for row, samples in found:
        number = min(len(samples), _MOST_MARKS)
        marks = [_quantile(samples, (place + 0.5) / number) for place in range(number)]
        low, quarter, median, three_quarters, high = (
            scale.place(_quantile(samples, share)) for share in (0.1, 0.25, 0.5, 0.75, 0.9)
        )
        text = (
            f"median {milliseconds(_quantile(samples, 0.5))}, half of the calls "
            f"{milliseconds(_quantile(samples, 0.25))} to "
            f"{milliseconds(_quantile(samples, 0.75))}, slowest {milliseconds(samples[-1])}, "
            f"{count(len(samples), 'call')}"
        )
        strips.append(
            Strip(
                name=plain(row.candidate.name),
                origin=row.candidate.origin,
                marks=tuple(scale.place(mark) for mark in marks if scale.low <= mark <= scale.high),
                low=low,
                quarter=quarter,
                median=median,
                three_quarters=three_quarters,
                high=high,
                text=text,
            )
        )
    return Distributions(scale, tuple(strips))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Returns a quantile, linear between two samples."""
    place = min(max(share, 0.0), 1.0) * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
