"""Tests of Pareto fronts."""

import itertools

import hypothesis
from hypothesis import strategies as st

from vitsd_export._internal.pareto import pareto_front


def test_front_is_what_no_other_beats() -> None:
    points = [(3.0, -0.9), (1.0, -0.5), (2.0, -0.5), (2.0, -0.8), (4.0, -0.9), (1.0, -0.5)]
    assert pareto_front(points) == [(1.0, -0.5), (2.0, -0.8), (3.0, -0.9)]


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.too_slow])
@hypothesis.given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1))
def test_front_beats_all_others(points: list[tuple[int, int]]) -> None:
    front = pareto_front(points)
    assert set(front) <= set(points)
    for x, y in points:
        assert any(a <= x and b <= y for a, b in front)
    assert all(a < c and b > d for (a, b), (c, d) in itertools.pairwise(front))
