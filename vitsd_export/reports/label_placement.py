"""Places for the labels of points so that none covers another or a point."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def holds(self, other: "Box") -> bool:
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


class Marker(NamedTuple):
    """A point with the size of its label.

    Attributes:
        x: Centre.
        y: Centre.
        radius: Of its disc.
        width: Of its label.
        height: Of its label.
    """

    x: float
    y: float
    radius: float
    width: float
    height: float


class Placement(NamedTuple):
    """Where a label stands.

    Attributes:
        box: Its rectangle.
        is_far: Whether a line must lead to its point, because it is far, or no nearer than another.
    """

    box: Box
    is_far: bool


# Right first, as one reads on; then by how far the eye has to go.
_DIRECTIONS = (0, 180, 90, 270, 35, -35, 145, 215, 60, -60, 120, 240, 15, -15, 165, 195)
_DISTANCES = (4.0, 12.0, 22.0, 34.0, 48.0, 64.0, 84.0, 108.0, 136.0, 168.0)
_NEAR = 12.0
# Air between two labels.
_GAP = 2.0
# A label that is hardly nearer to its own point than to another needs a line, too.
_AMBIGUOUS = 6.0
# What a line costs, in pixels of distance: a label that needs none is easier to read.
_LINE = 8.0
# What it costs, in pixels of distance, if the line to a label runs through another point.
_THROUGH_POINT = 40.0
# Labels placed early know nothing of the later ones; a second round lets them move.
_ROUNDS = 2
# Points with this many near them, themselves among them, are crowded.
_CROWD = 4
# A line longer than this, or through several points, tells nobody which point it means.
_DEAREST = 150.0
# If there is no room for all, those without it come first in the next try; and the labels of crowded points
# keep this far off, because close ones shut all others in.
_TRIES = (0.0, 0.0, 34.0, 64.0, 108.0)


def place_labels(markers: Sequence[Marker], area: Box) -> list[Placement | None]:
    """Returns a place for each label within an area, or None where there is no room.

    Each label in turn, that with most neighbours first, takes the place nearest to its point whose line
    runs through as few other points as possible; then each may take a better one, the others given. If
    one finds none, all is done again, in another order and with more distance.
    """
    discs = [_around(marker, marker.radius) for marker in markers]
    crowding = [
        sum(math.hypot(one.x - other.x, one.y - other.y) < 80 for other in markers)
        for one in markers
    ]
    order = sorted(range(len(markers)), key=lambda number: -crowding[number])
    best: list[Placement | None] = [None] * len(markers)
    for closest in _TRIES:
        found: list[Placement | None] = [None] * len(markers)
        for number in order * _ROUNDS:
            found[number] = None
            least = closest if crowding[number] >= _CROWD else 0.0
            found[number] = _best(number, markers, discs, found, area, least)
        if found.count(None) < best.count(None):
            best = found
        if None not in found:
            break
        order.sort(key=lambda number: found[number] is not None)
    return best


def leader(marker: Marker, box: Box) -> tuple[float, float, float, float]:
    """Returns the line x1, y1, x2, y2 from a point's centre to the nearest place of its label."""
    x = min(max(marker.x, box.left), box.right)
    y = min(max(marker.y, box.top), box.bottom)
    return marker.x, marker.y, x, y


def _best(
    number: int,
    markers: Sequence[Marker],
    discs: Sequence[Box],
    found: Sequence[Placement | None],
    area: Box,
    closest: float,
) -> Placement | None:
    marker = markers[number]
    taken = [placement.box for placement in found if placement is not None]
    lines = [
        leader(other, placement.box)
        for other, placement in zip(markers, found, strict=True)
        if placement is not None and placement.is_far
    ]
    # A point that lies on this one is in the way of every line.
    cores = [
        core
        for other in markers
        if not (core := _around(other, max(other.radius / 2, 3.0))).holds(_around(marker, 0.0))
    ]
    obstacles = (*taken, *discs)
    best, least = None, _DEAREST
    for distance, degrees in itertools.product(_DISTANCES, _DIRECTIONS):
        if distance >= least:
            break
        if distance < closest:
            continue
        box = _box_at(marker, distance, math.radians(degrees))
        if not area.holds(box):
            continue
        roomy = Box(box.left - _GAP, box.top - _GAP, box.right + _GAP, box.bottom + _GAP)
        if any(roomy.overlaps(other) for other in obstacles):
            continue
        if any(_crosses(line, roomy) for line in lines):
            continue
        cost = distance
        is_far = distance > _NEAR or any(
            place != number and _gap(other, box) < _gap(marker, box) + _AMBIGUOUS
            for place, other in enumerate(markers)
        )
        if is_far:
            cost += _LINE
            if cost >= least:
                continue
            line = leader(marker, box)
            if any(_crosses(line, other) for other in taken):
                continue
            cost += _THROUGH_POINT * sum(_crosses(line, core) for core in cores)
        if cost < least:
            best, least = Placement(box, is_far), cost
    return best


def _gap(marker: Marker, box: Box) -> float:
    """Returns the distance of a label from the edge of a disc."""
    _, _, x, y = leader(marker, box)
    return math.hypot(x - marker.x, y - marker.y) - marker.radius


def _around(marker: Marker, reach: float) -> Box:
    return Box(marker.x - reach, marker.y - reach, marker.x + reach, marker.y + reach)


def _box_at(marker: Marker, distance: float, angle: float) -> Box:
    """Returns the label's rectangle outside the disc in a direction, touching a circle around it."""
    reach = marker.radius + distance
    x, y = marker.x + reach * math.cos(angle), marker.y - reach * math.sin(angle)
    # The rectangle hangs on this point by the side or corner that looks at the marker.
    left = x - marker.width * (1 - math.cos(angle)) / 2
    top = y - marker.height * (1 + math.sin(angle)) / 2
    return Box(left, top, left + marker.width, top + marker.height)


def _crosses(line: tuple[float, float, float, float], box: Box) -> bool:
    """Says whether a segment enters a rectangle: Liang and Barsky, 1984, doi:10.1145/357332.357333."""
    x1, y1, x2, y2 = line
    # Most are far apart.
    if (x1 <= box.left and x2 <= box.left) or (x1 >= box.right and x2 >= box.right):
        return False
    if (y1 <= box.top and y2 <= box.top) or (y1 >= box.bottom and y2 >= box.bottom):
        return False
    enter, leave = 0.0, 1.0
    for step, room in (
        (x1 - x2, x1 - box.left),
        (x2 - x1, box.right - x1),
        (y1 - y2, y1 - box.top),
        (y2 - y1, box.bottom - y1),
    ):
        if step == 0:
            if room < 0:
                return False
            continue
        share = room / step
        if step < 0:
            enter = max(enter, share)
        else:
            leave = min(leave, share)
    return enter < leave
