"""Tests of accuracy and its interval."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitsd_export.errors import UsageError
from vitsd_export.measure.accuracy import (
    hits_top_k,
    paired_interval,
    top_k,
    wilson_interval,
)

SCORES = np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3], [0.2, 0.2, 0.6], [0.3, 0.4, 0.3]])


@pytest.mark.parametrize(("k", "expected"), [(1, 0.5), (2, 0.75), (3, 1.0), (9, 1.0)])
def test_labels_among_the_first_k_are_hits(k: int, expected: float) -> None:
    labels = np.array([1, 2, 2, 2])
    # Image 3: classes 0 and 2 tie for second place, and the lower comes first.
    assert hits_top_k(SCORES, labels, k).mean() == expected


def test_ties_go_to_the_lower_class_as_argmax_has_it() -> None:
    scores = np.array([[0.4, 0.4, 0.2], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(top_k(scores, 3), [[0, 1, 2], [0, 1, 2]])
    np.testing.assert_array_equal(top_k(scores, 1)[:, 0], scores.argmax(axis=1))


def test_numbers_that_are_not_finite_are_wrong() -> None:
    scores = np.array([[np.nan, 0.9, 0.1], [np.inf, 0, 0], [0.8, 0.1, 0.1]])
    assert hits_top_k(scores, np.array([1, 0, 0]), 3).sum() == 1


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(UsageError, match="one label for each image"):
        hits_top_k(SCORES, np.array([0, 1]))
    for correct, total, confidence in ((5, 4, 0.9), (-1, 4, 0.9), (0, 0, 0.9), (1, 2, 1.0)):
        with pytest.raises(UsageError, match="no interval"):
            wilson_interval(correct, total, confidence)


@given(st.integers(1, 20000), st.data())
def test_wilson_ends_solve_the_score_equation(total: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, total))
    low, high = wilson_interval(correct, total)
    share = correct / total
    assert 0 <= low <= share <= high <= 1
    # The ends are where the observed share is 1.96 standard errors of the end away.
    for end in (low, high):
        if 0 < end < 1:
            error = math.sqrt(end * (1 - end) / total)
            assert abs(share - end) / error == pytest.approx(1.959964, rel=1e-4)


def test_wider_confidence_gives_a_wider_interval() -> None:
    assert wilson_interval(70, 100, 0.99)[0] < wilson_interval(70, 100, 0.9)[0]


@pytest.mark.parametrize(
    ("lost", "gained"), [(0.002, 0.002), (0.03, 0.02), (0.05, 0.0), (0.1, 0.2)]
)
def test_the_paired_interval_covers_the_true_loss(lost: float, gained: float) -> None:
    rng = np.random.default_rng(0)
    draws = rng.multinomial(500, [lost, gained, 1 - lost - gained], size=4000)
    ends = [paired_interval(int(row[0]), int(row[1]), 500) for row in draws]
    covered = np.mean([low <= lost - gained <= high for low, high in ends])
    # Counts are whole numbers: at rare faults it covers more than it must.
    assert covered >= 0.94
    if lost + gained > 0.04:
        assert covered <= 0.965


def test_the_paired_interval_is_narrower_than_two_accuracies() -> None:
    low, high = paired_interval(5, 5, 500)
    first, last = wilson_interval(400, 500)
    assert low == pytest.approx(-high)
    assert high - low < (last - first) / 2


@pytest.mark.parametrize(
    "arguments", [(-1, 0, 5), (0, -1, 5), (3, 3, 5), (0, 0, 0), (0, 0, 5, 1.0)]
)
def test_impossible_counts_have_no_paired_interval(arguments: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="no interval"):
        paired_interval(*arguments)
