"""Tests of the order of turns, and of who has one in which round."""

import random
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitsd_export.measure.benchmark.results import Candidate
from vitsd_export.measure.benchmark.rounds import Timed, _order, _Racer, paired_turns, spread


@given(rounds=st.integers(1, 64), data=st.data())
def test_the_rounds_of_a_slow_candidate_are_among_those_of_a_faster(
    rounds: int, data: st.DataObject
) -> None:
    more = data.draw(st.integers(1, rounds))
    fewer = data.draw(st.integers(1, more))
    assert len(spread(fewer, rounds)) == fewer
    assert set(spread(fewer, rounds)) <= set(spread(more, rounds)) <= set(range(rounds))


@pytest.mark.parametrize("count", [4, 8])
def test_few_rounds_are_spread_over_all(count: int) -> None:
    gaps = np.diff([*spread(count, 32), 32])
    assert max(gaps) <= 2 * 32 / count


def test_each_round_begins_with_another_and_all_have_a_turn() -> None:
    racers = [cast(_Racer, object()) for _ in range(4)]
    draws = random.Random(0)
    orders = [_order(racers, index, draws) for index in range(40)]
    assert all(sorted(map(id, order)) == sorted(map(id, racers)) for order in orders)
    assert [racers.index(order[0]) for order in orders] == [index % 4 for index in range(40)]
    places = [[racers.index(racer) for racer in order] for order in orders]
    # Nobody always follows the same one.
    before_the_first = {order[order.index(0) - 1] for order in places if order[0] != 0}
    assert before_the_first == {1, 2, 3}


def test_turns_are_paired_by_round() -> None:
    fast, slow = Timed(Candidate("fast", "x", "onnx")), Timed(Candidate("slow", "x", "onnx"))
    fast.rounds[1], slow.rounds[1] = spread(8, 8), spread(3, 8)
    # A turn's times tell its launch and round.
    for timed in (fast, slow):
        for launch in (100, 200):
            numbers = [launch + index for index in timed.rounds[1]]
            timed.turns.setdefault(1, []).append(np.array(numbers, float)[:, None])
    ours, baselines = paired_turns(slow, fast, 1)
    np.testing.assert_array_equal(ours, baselines)
    assert [len(turns) for turns in ours] == [3, 3]
