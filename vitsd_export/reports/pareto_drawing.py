"""The plot of accuracy against latency in the pixels of an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vitsd_export.reports.label_placement import Box, Marker, leader, place_labels
from vitsd_export.reports.pareto import Pareto, Point, front_line, label_width
from vitsd_export.reports.wording import data_size, shorten

_FONT = 13.0
_LONGEST_LABEL = 30
# Pixels under the axis: the ticks and the title, then the sizes.
_BELOW, _KEY_ROW = 100, 72


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its place in pixels and its text."""

    place: float
    text: str


@dataclass(frozen=True)
class Dot:
    """A point's disc, and what is known of the point."""

    x: float
    y: float
    radius: float
    point: Point


@dataclass(frozen=True)
class Label:
    """A text on its middle line; a line leads to a point that is far."""

    x: float
    y: float
    anchor: Literal["start", "middle", "end"]
    text: str
    line: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class Key:
    """A disc of a round size below the axes, its text to the right of it."""

    x: float
    y: float
    radius: float
    text: str


@dataclass(frozen=True)
class Drawing:
    """Everything the SVG needs, in pixels.

    Attributes:
        kind: `wide`, with names as labels if there is room, or `narrow`, always with numbers.
        width: Of the picture.
        height: Of the picture.
        area: Within the axes.
        x_title: What the horizontal axis tells.
        y_title: What the vertical axis tells.
        x_ticks: Of the horizontal axis.
        y_ticks: Of the vertical axis.
        dots: From the largest to the least.
        labels: Those for which there is room.
        is_numbered: Whether labels are numbers, because there is no room for all the names.
        front: Corners of the line along the front.
        keys: What sizes the discs stand for.
    """

    kind: str
    width: int
    height: int
    area: Box
    x_title: str
    y_title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    dots: tuple[Dot, ...]
    labels: tuple[Label, ...]
    is_numbered: bool
    front: tuple[tuple[float, float], ...]
    keys: tuple[Key, ...]


def draw(plot: Pareto, *, is_narrow: bool) -> Drawing:
    """Returns the drawing for a desktop, or for a telephone."""
    width, height = (360, 420) if is_narrow else (960, 580)
    largest = 16.0 if is_narrow else 26.0
    area = Box(58, 12, width - 12, height - _BELOW)

    def x_of(value: float) -> float:
        return area.left + plot.x.place(value) * (area.right - area.left)

    def y_of(value: float) -> float:
        return area.bottom - plot.y.place(value) * (area.bottom - area.top)

    dots = tuple(
        Dot(x_of(point.x), y_of(point.y), plot.radius(point.bytes, largest), point)
        for point in plot.points
    )
    names = [shorten(dot.point.name, _LONGEST_LABEL) for dot in dots]
    labels = None if is_narrow else _labels(dots, names, area)
    is_numbered = labels is None or len(labels) < len(dots)
    if is_numbered:
        labels = _labels(dots, [str(dot.point.number) for dot in dots], area)
    line_of_front = [(x_of(x), y_of(y)) for x, y in front_line(plot)]
    logarithmic = ", logarithmic" if plot.x.is_logarithmic else ""
    return Drawing(
        "narrow" if is_narrow else "wide",
        width,
        height,
        area,
        f"p50, milliseconds a call{logarithmic}",
        plot.figure,
        tuple(Tick(x_of(tick), f"{tick:g}") for tick in plot.x.ticks),
        tuple(Tick(y_of(tick), f"{100 * tick:g} %") for tick in plot.y.ticks),
        dots,
        tuple(labels or ()),
        is_numbered,
        tuple(_steps(line_of_front)),
        _keys(plot, largest, area),
    )


def _labels(dots: Sequence[Dot], texts: Sequence[str], area: Box) -> list[Label]:
    """Returns the labels that there is room for."""
    markers = [
        Marker(dot.x, dot.y, dot.radius, label_width(text, _FONT), _FONT * 1.25)
        for dot, text in zip(dots, texts, strict=True)
    ]
    labels = []
    for marker, text, placed in zip(markers, texts, place_labels(markers, area), strict=True):
        if placed is not None:
            line = leader(marker, placed.box) if placed.is_far else None
            labels.append(_label(marker, placed.box, text, line))
    return labels


def _label(
    marker: Marker, box: Box, text: str, line: tuple[float, float, float, float] | None
) -> Label:
    """Returns the label: text is narrower than its box, and clings to the side of the marker."""
    middle = (box.top + box.bottom) / 2
    if box.left >= marker.x:
        return Label(box.left, middle, "start", text, line)
    if box.right <= marker.x:
        return Label(box.right, middle, "end", text, line)
    return Label((box.left + box.right) / 2, middle, "middle", text, line)


def _steps(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns the front as stairs: until the next candidate is affordable, the last one is the best."""
    corners = points[:1]
    for point in points[1:]:
        corners += [(point[0], corners[-1][1]), point]
    return corners


def _keys(plot: Pareto, largest_radius: float, area: Box) -> tuple[Key, ...]:
    """Returns a disc of the largest round size that occurs, and one of a tenth."""
    if not plot.largest:
        return ()
    power = 10 ** (len(str(plot.largest)) - 1)
    size = max(power * factor for factor in (1, 2, 5) if power * factor <= plot.largest)
    keys, x = [], area.left
    for shown in (size, size // 10):
        if shown:
            radius = plot.radius(shown, largest_radius)
            text = data_size(shown)
            keys.append(Key(x + radius, area.bottom + _KEY_ROW, radius, text))
            x += 2 * radius + label_width(text, _FONT) + 18
    return tuple(keys)
