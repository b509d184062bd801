"""Tests of the ratio of medians and its interval, on times drawn from known distributions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitsd_export.errors import UsageError
from vitsd_export.measure.benchmark.ratio import (
    judge_ratio,
    median_interval,
    ratio_of_medians,
    relative_change,
)
from vitsd_export.measure.benchmark.results import Interval


def times_of(
    rng: np.random.Generator,
    median: float,
    drift: np.ndarray,
    *,
    launch_deviation: float = 0.01,
    calls: int = 3,
) -> list[np.ndarray]:
    """Skewed times [launches][rounds, calls] about a median, slowed by the machine's drift."""
    found = []
    for slowness in drift:
        place = np.exp(rng.normal(0, launch_deviation))
        noise = rng.lognormal(0, 0.05, (len(slowness), calls))
        found.append(median * place * slowness[:, None] * noise)
    return found


def drift_of(rng: np.random.Generator, launches: int, rounds: int) -> np.ndarray:
    """A machine whose speed wanders by some percent, neighbouring rounds alike."""
    steps = rng.normal(0, 0.03, (launches, rounds))
    wander = np.zeros_like(steps)
    for index in range(1, rounds):
        wander[:, index] = 0.8 * wander[:, index - 1] + steps[:, index]
    return np.exp(wander)


def covered(launches: int, ratio: float, runs: int = 120, rounds: int = 20) -> float:
    """The share of simulated runs whose interval holds the true ratio."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(runs):
        drift = drift_of(rng, launches, rounds)
        ours, baseline = times_of(rng, 2.0 * ratio, drift), times_of(rng, 2.0, drift)
        interval = ratio_of_medians(ours, baseline, resamples=300)
        hits += interval.low <= ratio <= interval.high
    return hits / runs


@pytest.mark.parametrize("launches", [1, 2, 3, 6])
def test_the_interval_holds_the_true_ratio_as_often_as_it_says(launches: int) -> None:
    # 95 % are meant; of 120 runs fewer than 90 % are right by chance once in a hundred times.
    assert covered(launches, 0.8) >= 0.90


def test_a_candidate_beside_itself_is_the_same() -> None:
    assert covered(3, 1.0) >= 0.90


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(3)
    drift = drift_of(rng, 3, 20)
    ratio = ratio_of_medians(times_of(rng, 1.7, drift), times_of(rng, 2.0, drift))
    assert judge_ratio(ratio) == "faster"
    assert ratio.value == pytest.approx(0.85, rel=0.03)
    assert ratio.high / ratio.low < 1.2


def test_more_launches_make_it_surer() -> None:
    rng = np.random.default_rng(4)
    widths = []
    for launches in (1, 3, 10):
        drift = drift_of(rng, launches, 20)
        ratio = ratio_of_medians(times_of(rng, 2.0, drift), times_of(rng, 2.0, drift))
        widths.append(ratio.high / ratio.low)
    assert widths == sorted(widths, reverse=True)


def test_launches_that_differ_much_make_it_unsure() -> None:
    rng = np.random.default_rng(5)
    drift = np.ones((4, 20))
    alike = times_of(rng, 2.0, drift, launch_deviation=0)
    apart = times_of(rng, 2.0, drift, launch_deviation=0.2)
    narrow = ratio_of_medians(alike, alike[::-1])
    wide = ratio_of_medians(apart, alike)
    assert wide.high / wide.low > 1.1 * narrow.high / narrow.low


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    scale=st.floats(0.01, 100),
    launches=st.integers(1, 4),
    rounds=st.integers(1, 12),
)
def test_the_ratio_is_that_of_the_medians_and_its_inverse_the_other_way_round(
    seed: int, scale: float, launches: int, rounds: int
) -> None:
    rng = np.random.default_rng(seed)
    ours = list(rng.lognormal(0, 0.3, (launches, rounds, 3)))
    baseline = list(scale * rng.lognormal(0, 0.3, (launches, rounds, 2)))
    there = ratio_of_medians(ours, baseline, resamples=100, seed=1)
    back = ratio_of_medians(baseline, ours, resamples=100, seed=1)
    assert there.value == pytest.approx(np.median(ours) / np.median(baseline))
    assert there.low <= there.value <= there.high
    assert (back.value, back.low, back.high) == pytest.approx(
        (1 / there.value, 1 / there.high, 1 / there.low)
    )


def test_the_same_seed_gives_the_same_interval() -> None:
    rng = np.random.default_rng(6)
    ours, baseline = list(rng.lognormal(size=(2, 9, 3))), list(rng.lognormal(size=(2, 9, 3)))
    assert ratio_of_medians(ours, baseline, seed=3) == ratio_of_medians(ours, baseline, seed=3)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.5, 0.9, "faster"), (1.1, 1.2, "slower"), (0.9, 1.1, "same"), (0.9, 1.0, "same")],
)
def test_the_verdict_follows_from_the_interval(low: float, high: float, verdict: str) -> None:
    assert judge_ratio(Interval((low + high) / 2, low, high)) == verdict


@pytest.mark.parametrize("shape", [(1, 3, 2), (2, 4, 2), (2, 0, 2)])
def test_times_that_are_not_beside_each_other_fail(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="same launches and rounds"):
        ratio_of_medians(list(np.ones((2, 3, 2))), list(np.ones(shape)))


def test_the_median_lies_in_its_interval_as_often_as_said() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        samples = generator.lognormal(0, 0.5, 40)
        found = median_interval(tuple(map(float, samples)), float(np.median(samples)))
        held += found.low <= 1.0 <= found.high
    assert 0.94 <= held / 1000 <= 0.985


def test_processes_that_differ_widen_the_interval() -> None:
    samples = (1.0,) * 20 + (2.0,) * 20 + (1.2,) * 20
    found = median_interval(samples, 1.2, launches=3)
    assert (found.low, found.high) == (1.0, 2.0)
    assert median_interval((3.0,), 3.0, launches=3) == Interval(3.0, 3.0, 3.0)


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.tuples(*(st.floats(0, 0.5),) * 4))
@settings(deadline=None)
def test_change_backwards_is_the_inverse(old: float, new: float, halves: tuple[float, ...]) -> None:
    one = Interval(old, old * (1 - halves[0]), old * (1 + halves[1]))
    other = Interval(new, new * (1 - halves[2]), new * (1 + halves[3]))
    forth, back = relative_change(one, other), relative_change(other, one)
    assert forth.low <= forth.value <= forth.high
    assert (1 + forth.value) * (1 + back.value) == pytest.approx(1)
    assert (1 + forth.low) * (1 + back.high) == pytest.approx(1)
