"""The search for an artifact, in a world where every candidate's figures are known beforehand."""

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vitsd_export.errors import EnvironmentProblem, InputError, UsageError
from vitsd_export.quantization.search import (
    Configuration,
    Figures,
    Outcome,
    SearchSpace,
    Trial,
    search,
)

FLOAT = Figures(1000, 800, 1000, 0.0, 1.0, 80_000)


def world(candidate: Configuration) -> Figures:
    """Fewer bits are faster and lose more; each float layer gives some of both back."""
    if candidate == Configuration("float32"):
        return FLOAT
    lost, ratio, size = {"int8": (2, 0.5, 20_000), "int4": (12, 0.4, 12_000)}[candidate.scheme]
    if candidate.head_rank is not None:
        lost, ratio, size = lost + 320 // candidate.head_rank, ratio * 0.6, size // 3
    kept = candidate.float_layers
    lost = max(0, lost - 2 * kept)
    # Ten answers turn for each that gets wrong.
    return Figures(
        1000, 800 - lost, 1000 - 10 * lost, lost / 1000, ratio + 0.03 * kept, size + 1000 * kept
    )


def run(try_candidate: Callable[[Configuration], Figures] = world, **changes: Any) -> Outcome:
    options: dict[str, Any] = {
        "schemes": ("int8", "int4"),
        "head_ranks": (None, 64),
        "layers": 16,
        "max_drop": 0.3,
        "objective": "latency",
    }
    names = {field.name for field in dataclasses.fields(SearchSpace)}
    space = {**options, **{name: changes.pop(name) for name in names & changes.keys()}}
    return search(try_candidate, SearchSpace(**space), **changes)


def names(outcome: Outcome) -> list[str]:
    return [trial.candidate.name for trial in outcome.trials]


def test_plain_candidates_come_first_and_losers_again_with_float_layers() -> None:
    tried = names(run())
    assert tried[:5] == [
        "float32",
        "int8",
        "int4",
        "int8, head rank 64",
        "int4, head rank 64",
    ]
    # int8 at rank 64 loses 0.7 points; two layers in float32 bring it to 0.3.
    assert "int8, head rank 64, 1 layer in float32" in tried
    assert "int8, head rank 64, 2 layers in float32" in tried
    assert "int8, head rank 64, 4 layers in float32" not in tried
    assert len(set(tried)) == len(tried)


@pytest.mark.parametrize("objective", ["latency", "size"])
@pytest.mark.parametrize("max_drop", [0.0, 0.2, 0.3, 0.7, 5.0])
def test_the_best_of_all_that_were_tried_is_chosen(max_drop: float, objective: Any) -> None:
    outcome = run(max_drop=max_drop, objective=objective)
    kept = {
        trial.candidate: trial.figures
        for trial in outcome.trials
        if trial.figures is not None and trial.figures.correct >= 800 - 10 * max_drop  # type: ignore[operator]
    }
    cost = {
        candidate: figures.latency_ratio if objective == "latency" else figures.bytes
        for candidate, figures in kept.items()
    }
    assert cost[outcome.best] == min(cost.values())


def test_a_drop_of_exactly_the_budget_is_allowed() -> None:
    assert run(max_drop=0.2, schemes=("int8",), head_ranks=(None,)).best == Configuration("int8")
    assert run(
        max_drop=0.19, schemes=("int8",), head_ranks=(None,), layers=1
    ).best == Configuration("float32")


def test_no_layer_is_kept_in_float_where_nothing_can_be_gained() -> None:
    # A candidate slower than what already keeps the accuracy cannot win with still more float layers.
    def slow_int4(candidate: Configuration) -> Figures:
        figures = world(candidate)
        if candidate.scheme == "int4":
            return dataclasses.replace(figures, latency_ratio=0.9, bytes=90_000)
        return figures

    tried = names(run(slow_int4, max_drop=0.2, head_ranks=(None,)))
    assert tried == ["float32", "int8", "int4"]


def test_at_most_half_of_the_layers_stay_in_float() -> None:
    def hopeless(candidate: Configuration) -> Figures:
        return FLOAT if candidate.scheme == "float32" else Figures(1000, 0, 0, 0.8, 0.1, 10)

    outcome = run(hopeless, schemes=("int4",), head_ranks=(None,), layers=9)
    assert [trial.candidate.float_layers for trial in outcome.trials[1:]] == [0, 1, 2, 4]
    assert outcome.best == Configuration("float32")


def test_without_labels_the_expected_loss_decides() -> None:
    def unlabelled(candidate: Configuration) -> Figures:
        return dataclasses.replace(world(candidate), correct=None)

    outcome = run(unlabelled, max_drop=0.2, head_ranks=(None,))
    assert outcome.best == Configuration("int8")
    assert outcome.drop(Configuration("int8")) == pytest.approx(0.2)


def test_the_pareto_set_is_that_of_brute_force() -> None:
    outcome = run(max_drop=0.0)
    points = {
        trial.candidate: (
            -(trial.figures.correct or 0),
            trial.figures.latency_ratio,
            trial.figures.bytes,
        )
        for trial in outcome.trials
        if trial.figures is not None
    }
    front = set(points)
    for one, other in itertools.permutations(points, 2):
        pairs = list(zip(points[one], points[other], strict=True))
        if all(a <= b for a, b in pairs) and any(a < b for a, b in pairs):
            front.discard(other)
    assert set(outcome.pareto) == front
    assert 1 < len(front) < len(points)
    assert outcome.best in front


def test_equals_are_both_in_the_pareto_set() -> None:
    same = Figures(1000, 790, 990, 0.01, 0.5, 10)
    trials = (
        Trial(Configuration("float32"), FLOAT),
        Trial(Configuration("int8"), same),
        Trial(Configuration("int4"), same),
        Trial(Configuration("full-int8"), None, "cannot be made"),
    )
    space = SearchSpace(("int8", "int4"), (None,), 16, 0.3, "latency")
    assert set(Outcome(trials, space).pareto) == {
        Configuration(name) for name in ("float32", "int8", "int4")
    }


def test_a_candidate_that_cannot_be_made_is_noted() -> None:
    def refusing(candidate: Configuration) -> Figures:
        if candidate.scheme == "int4":
            raise UsageError("No int4 here.")
        return world(candidate)

    outcome = run(refusing, head_ranks=(None,))
    (row,) = (row for row in outcome.to_dict()["candidates"] if row["scheme"] == "int4")
    assert row["reason"] == "No int4 here."
    assert row["drop"] is None
    assert outcome.best == Configuration("int8")
    json.dumps(outcome.to_dict(), allow_nan=False)


def test_a_float32_that_cannot_be_made_ends_the_search() -> None:
    def refusing(candidate: Configuration) -> Figures:
        raise InputError("broken")

    with pytest.raises(InputError, match="broken"):
        run(refusing)


def test_a_full_disk_ends_the_search() -> None:
    def full(candidate: Configuration) -> Figures:
        if candidate.scheme == "float32":
            return FLOAT
        raise EnvironmentProblem("The disk is full.")

    with pytest.raises(EnvironmentProblem):
        run(full)


@pytest.mark.parametrize("killed_after", [1, 3, 6])
def test_a_killed_search_goes_on_where_it_was(tmp_path: Path, killed_after: int) -> None:
    state = tmp_path / "state.json"
    made: list[str] = []

    def once(candidate: Configuration) -> Figures:
        if len(made) == killed_after:
            raise KeyboardInterrupt
        made.append(candidate.name)
        return world(candidate)

    with pytest.raises(KeyboardInterrupt):
        run(once, state=state)
    first = list(made)
    again: list[str] = []

    def rest(candidate: Configuration) -> Figures:
        again.append(candidate.name)
        return world(candidate)

    told: list[str] = []
    outcome = run(rest, state=state, progress=told.append)
    assert not set(first) & set(again)
    assert told[0] == f"{killed_after} candidates were measured before"
    assert outcome.to_dict() == run().to_dict()
    assert first + again == names(run())
    # Once more: nothing is left to do.
    again.clear()
    assert run(rest, state=state).to_dict() == run().to_dict()
    assert again == []
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_another_budget_goes_on_from_the_same_measurements(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    run(max_drop=5, state=state)
    again: list[str] = []

    def rest(candidate: Configuration) -> Figures:
        again.append(candidate.name)
        return world(candidate)

    outcome = run(rest, max_drop=0.2, state=state)
    assert outcome.to_dict() == run(max_drop=0.2).to_dict()
    assert "int8" not in again


def test_the_state_of_another_model_is_not_taken(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    run(state=state, identity={"model": "one", "path": Path("/x")})
    told: list[str] = []
    run(state=state, identity={"model": "one", "path": Path("/x")}, progress=told.append)
    assert "measured before" in told[0]
    told.clear()
    run(state=state, identity={"model": "two", "path": Path("/x")}, progress=told.append)
    assert "is not used" in told[0]
    assert json.loads(state.read_text())["identity"]["model"] == "two"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2, "identity": {}, "trials": [{}]}'])
def test_a_damaged_state_says_what_to_do(tmp_path: Path, text: str) -> None:
    state = tmp_path / "state.json"
    state.write_text(text)
    with pytest.raises(InputError, match="Delete it to start over"):
        run(state=state)


@pytest.mark.parametrize("drop", [-0.1, float("nan")])
def test_a_drop_below_zero_is_a_usage_error(drop: float) -> None:
    with pytest.raises(UsageError, match="at least 0 points"):
        run(max_drop=drop)


def test_nothing_to_try_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no scheme to try"):
        run(schemes=())
