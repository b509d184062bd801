"""What every rewrite owes: the same function, and nothing left to do."""

import itertools

import numpy as np
import pytest

from tests.support.float64_program import evaluate
from tests.support.lowered_graphs import (
    KINDS,
    all_names,
    apply,
    before,
    pixels,
    relative_error,
    trained,
)
from tests.support.numpy_reference import classify
from tests.support.small_models import build_small, small_config
from vitsd_export.lowering.reading import read_graph
from vitsd_export.lowering.rewrites import rewrite
from vitsd_export.lowering.rewrites.base import NotApplied

# Where a rewrite is not applied, and what it says then.
REFUSALS = {
    ("narrow heads", "query-key"): "million multiply-adds",
    ("narrow heads", "value-output"): "million multiply-adds",
}
CASES = list(itertools.product(KINDS, all_names()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_trained_graph_is_the_network_of_the_paper(kind: str) -> None:
    model = build_small(**KINDS[kind])
    graph = read_graph(model, all_float64=True)
    weights = {weight.path: np.asarray(weight) for weight in model.weights}
    expected = classify(pixels(graph), weights, small_config(**KINDS[kind]))
    assert relative_error(evaluate(graph, pixels(graph)), expected) <= 1e-12


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_alone_it_changes_no_answer(kind: str, name: str) -> None:
    graph = trained(kind)
    expected = evaluate(graph, pixels(graph))
    try:
        rewritten = apply(name, graph)
    except NotApplied:
        # It needs those before it; see below.
        graph = before(name, graph)
        if (kind, name) in REFUSALS:
            with pytest.raises(NotApplied, match=REFUSALS[kind, name]):
                apply(name, graph)
            return
        rewritten = apply(name, graph)
    assert relative_error(evaluate(rewritten, pixels(graph)), expected) <= 1e-9


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_after_those_before_it_it_changes_no_answer(kind: str, name: str) -> None:
    if (kind, name) in REFUSALS:
        return
    graph = before(name, trained(kind))
    rewritten = apply(name, graph)
    images = pixels(graph)
    assert relative_error(evaluate(rewritten, images), evaluate(graph, images)) <= 1e-9


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_second_time_there_is_nothing_to_do(kind: str, name: str) -> None:
    if (kind, name) in REFUSALS:
        return
    rewritten = apply(name, before(name, trained(kind)))
    with pytest.raises(NotApplied):
        apply(name, rewritten)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_all_but_one_change_no_answer(kind: str, name: str) -> None:
    graph = trained(kind)
    rewritten = rewrite(graph, without=[name])[-1].graph
    images = pixels(graph)
    assert relative_error(evaluate(rewritten, images), evaluate(graph, images)) <= 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_all_together_change_no_answer(kind: str) -> None:
    graph = trained(kind)
    outcomes = rewrite(graph)
    refused = {(kind, outcome.rewrite.name) for outcome in outcomes if not outcome.applied}
    assert refused == {case for case in REFUSALS if case[0] == kind}
    images = pixels(graph)
    assert relative_error(evaluate(outcomes[-1].graph, images), evaluate(graph, images)) <= 1e-9
