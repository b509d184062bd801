"""Tests of who is timed beside whom."""

from hypothesis import given
from hypothesis import strategies as st

from vitsd_export.measure.benchmark.groups import group_by_memory
from vitsd_export.measure.benchmark.results import Candidate


def candidate(name: str, baseline: str | None = None) -> Candidate:
    return Candidate(name, "onnxruntime", "onnx", baseline=baseline)


A, B, C = candidate("a"), candidate("b", "a"), candidate("c", "b")
D, E = candidate("d"), candidate("e", "gone")


def names(groups: list[list[Candidate]]) -> list[list[str]]:
    return [[one.name for one in group] for group in groups]


def test_all_are_one_group_where_memory_suffices() -> None:
    needs = dict.fromkeys("abcde", 1)
    assert names(group_by_memory([D, C, A, B, E], needs, 5)) == [["d", "c", "a", "b", "e"]]


def test_those_with_a_common_baseline_stay_together() -> None:
    needs = dict.fromkeys("abcde", 1)
    assert names(group_by_memory([A, D, B, E, C], needs, 3)) == [["a", "b", "c"], ["d", "e"]]


def test_a_family_that_is_too_large_is_a_group_of_its_own() -> None:
    needs = dict.fromkeys("abcde", 10)
    assert names(group_by_memory([A, B, C, D], needs, 1)) == [["a", "b", "c"], ["d"]]


@given(needs=st.lists(st.integers(1, 9), min_size=6, max_size=6), memory=st.integers(9, 60))
def test_every_candidate_is_in_one_group_that_fits(needs: list[int], memory: int) -> None:
    candidates = [candidate(name) for name in "uvwxyz"]
    sizes = dict(zip("uvwxyz", needs, strict=True))
    groups = group_by_memory(candidates, sizes, memory)
    assert sorted(one.name for group in groups for one in group) == list("uvwxyz")
    assert all(sum(sizes[one.name] for one in group) <= memory for group in groups)
