"""Labels of points."""

import itertools
import math

import hypothesis
import hypothesis.strategies as st

from vitsd_export.reports.label_placement import Box, Marker, place_labels

AREA = Box(0, 0, 600, 400)
MARKERS = st.builds(
    Marker, st.floats(0, 600), st.floats(0, 400), st.floats(2, 25), st.floats(5, 200), st.just(16.0)
)


@hypothesis.given(st.lists(MARKERS, max_size=14))
@hypothesis.settings(max_examples=60, deadline=None)
def test_no_label_covers_a_label_or_a_point(markers: list[Marker]) -> None:
    placed = place_labels(markers, AREA)
    assert len(placed) == len(markers)
    boxes = [placement.box for placement in placed if placement is not None]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    for marker, box in itertools.product(markers, boxes):
        nearest = (
            min(max(marker.x, box.left), box.right) - marker.x,
            min(max(marker.y, box.top), box.bottom) - marker.y,
        )
        assert math.hypot(*nearest) >= marker.radius - 1e-6
    assert all(AREA.holds(box) for box in boxes)


def test_a_lonely_point_has_its_label_to_the_right() -> None:
    (placement,) = place_labels([Marker(300, 200, 10, 80, 16)], AREA)
    assert placement is not None
    assert not placement.is_far
    assert placement.box.left >= 310
    assert placement.box.top < 200 < placement.box.bottom


def test_at_the_right_edge_it_goes_to_the_left() -> None:
    (placement,) = place_labels([Marker(590, 200, 10, 80, 16)], AREA)
    assert placement is not None
    assert placement.box.right <= 580


def test_labels_of_a_cluster_are_led_to_their_points() -> None:
    cluster = [Marker(300 + 2 * number, 200, 10, 70, 16) for number in range(8)]
    placed = place_labels(cluster, AREA)
    assert None not in placed
    assert any(placement is not None and placement.is_far for placement in placed)


def test_what_has_no_room_has_no_place() -> None:
    assert place_labels([Marker(300, 200, 10, 700, 16)], AREA) == [None]
