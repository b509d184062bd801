"""Axes."""

import hypothesis
import hypothesis.strategies as st
import pytest

from vitsd_export.reports.scale import scale_of

VALUES = st.lists(st.floats(1e-3, 1e5), min_size=1, max_size=20)


@hypothesis.given(VALUES, st.booleans())
@hypothesis.settings(deadline=None)
def test_values_lie_within_and_in_order(values: list[float], may_be_logarithmic: bool) -> None:
    scale = scale_of(values, may_be_logarithmic=may_be_logarithmic, least_span=max(values) * 0.2)
    places = [scale.place(value) for value in sorted(values)]
    assert places == sorted(places)
    assert places[0] >= 0
    assert places[-1] <= 1
    assert scale.place(scale.low) == pytest.approx(0, abs=1e-9)
    assert scale.place(scale.high) == pytest.approx(1)
    assert 2 <= len(scale.ticks) <= 40
    assert all(-1e-9 <= scale.place(tick) <= 1 + 1e-9 for tick in scale.ticks)
    assert list(scale.ticks) == sorted(set(scale.ticks))
    # Ticks are short numbers.
    assert all(float(f"{tick:.3g}") == pytest.approx(tick, rel=1e-12) for tick in scale.ticks) or (
        max(scale.ticks) / (scale.ticks[1] - scale.ticks[0]) > 100
    )


def test_what_spreads_far_is_logarithmic() -> None:
    assert scale_of([1, 60], may_be_logarithmic=True, least_span=1).is_logarithmic
    assert not scale_of([1, 60], may_be_logarithmic=False, least_span=1).is_logarithmic
    assert not scale_of([10, 14], may_be_logarithmic=True, least_span=1).is_logarithmic
    assert not scale_of([0, 60], may_be_logarithmic=True, least_span=1).is_logarithmic


def test_hardly_different_values_do_not_fill_the_axis() -> None:
    scale = scale_of([0.7934, 0.7935], may_be_logarithmic=False, least_span=0.005)
    assert scale.place(0.7935) - scale.place(0.7934) == pytest.approx(0.02)
