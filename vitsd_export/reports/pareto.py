"""The plot of accuracy against latency as geometry, for a page and for a picture."""

import math
from dataclasses import dataclass
from typing import Literal

from vitsd_export.measure.benchmark.results import Candidate, Results, Row
from vitsd_export.reports.scale import Scale, scale_of
from vitsd_export.reports.tables import Setting, latency
from vitsd_export.reports.wording import (
    columns,
    data_size,
    interval,
    milliseconds,
    percent,
    plain,
    state,
)

# A point of a file this small or of unknown size would be lost.
_LEAST_RADIUS = 2.5


@dataclass(frozen=True)
class Point:
    """A candidate in the plot.

    Attributes:
        number: Its place among the rows of the results, from 1.
        name: Its name.
        candidate: All of it.
        x: p50 in milliseconds.
        y: Accuracy or agreement, as a share.
        bytes: Size on disk; None if not known.
        is_front: Whether no other is at least as fast and as good, and better in one.
        hint: Its figures in a sentence.
    """

    number: int
    name: str
    candidate: Candidate
    x: float
    y: float
    bytes: int | None
    is_front: bool
    hint: str


@dataclass(frozen=True)
class Pareto:
    """The plot.

    Attributes:
        figure: What is upwards: top-1 accuracy, or agreement where no labels were known.
        points: From the largest file to the least, so that small ones lie on top.
        left_out: Names of the measured candidates that have not both figures.
        x: Axis of milliseconds.
        y: Axis of the figure.
        largest: Bytes of the largest file; None if no size is known.
    """

    figure: Literal["top-1 accuracy", "agreement with the reference"]
    points: tuple[Point, ...]
    left_out: tuple[str, ...]
    x: Scale
    y: Scale
    largest: int | None

    def radius(self, size: int | None, largest_radius: float) -> float:
        """Returns a marker's radius: its area is in proportion to the bytes."""
        if size is None or not self.largest:
            return _LEAST_RADIUS
        return max(largest_radius * math.sqrt(size / self.largest), _LEAST_RADIUS)


def pareto(results: Results, setting: Setting) -> Pareto | None:
    """Returns the plot at a setting; None if there is nothing to draw."""
    measured = [
        (number, row)
        for number, row in enumerate(results.rows, start=1)
        if state(row) == "measured" and latency(row, setting) is not None
    ]
    has_accuracy = any(row.accuracy is not None for _, row in measured)
    found, left_out = [], []
    for number, row in measured:
        height = _height(row, has_accuracy)
        figures = latency(row, setting)
        if height is None or figures is None or figures.p50 <= 0:
            left_out.append(plain(row.candidate.name))
        else:
            found.append((number, row, figures.p50, height))
    if not found:
        return None
    front = _front([(x, y) for _, _, x, y in found])
    points = [
        Point(
            number,
            plain(row.candidate.name),
            row.candidate,
            x,
            y,
            row.size.bytes if row.size else None,
            is_front,
            _hint(row, setting),
        )
        for (number, row, x, y), is_front in zip(found, front, strict=True)
    ]
    points.sort(key=lambda point: -(point.bytes or 0))
    times = [point.x for point in points]
    return Pareto(
        "top-1 accuracy" if has_accuracy else "agreement with the reference",
        tuple(points),
        tuple(left_out),
        scale_of(times, may_be_logarithmic=True, least_span=max(times) * 0.2),
        # Half a point: less would make noise look like a difference.
        scale_of(
            [point.y for point in points], may_be_logarithmic=False, least_span=0.005, margin=0.12
        ),
        max((point.bytes for point in points if point.bytes is not None), default=None),
    )


def front_line(plot: Pareto) -> list[tuple[float, float]]:
    """Returns the points of the front in order of time."""
    return sorted({(point.x, point.y) for point in plot.points if point.is_front})


def label_width(text: str, font: float) -> float:
    """Returns room enough for text in any of the usual sans-serif fonts.

    The widths, in ems, are those of the widest of them, Verdana and DejaVu Sans, rounded up.
    """
    return font * sum(_letter_width(letter) for letter in text)


def _letter_width(letter: str) -> float:
    if letter in "mwMW@%…—":
        return 1.0
    if letter in " iljtfrI.,:;'|!()[]/-":
        return 0.42
    if letter.isascii() and (letter.islower() or letter.isdigit() or letter == "_"):
        return 0.65
    # Capitals and most other scripts; Chinese characters are a square.
    return 1.05 if columns(letter) == 2 else 0.82


def _height(row: Row, has_accuracy: bool) -> float | None:
    if has_accuracy:
        return row.accuracy.top1.value if row.accuracy is not None else None
    return row.parity.top1_agreement if row.parity is not None else None


def _front(points: list[tuple[float, float]]) -> list[bool]:
    return [
        not any(
            other[0] <= point[0] and other[1] >= point[1] and other != point for other in points
        )
        for point in points
    ]


def _hint(row: Row, setting: Setting) -> str:
    figures = latency(row, setting)
    parts = [f"{plain(row.candidate.name)}:"]
    if figures is not None:
        parts.append(f"p50 {milliseconds(figures.p50)},")
        if figures.ratio is not None:
            parts.append(f"{interval(figures.ratio)} of its peer,")
    if row.accuracy is not None:
        top1 = row.accuracy.top1
        parts.append(f"top-1 {percent(top1.value)} ({100 * top1.low:.1f}–{100 * top1.high:.1f} %),")
    if row.parity is not None:
        parts.append(f"agrees {percent(row.parity.top1_agreement)},")
    parts.append(data_size(row.size.bytes) if row.size is not None else "size not known")
    return " ".join(parts)
