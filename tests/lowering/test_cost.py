"""What graphs cost, counted by hand."""

import dataclasses
import math

import numpy as np
import pytest

from tests.support.lowered_graphs import trained
from vitsd_export.lowering.cost import Cost, Step, cost
from vitsd_export.lowering.graph import Dense
from vitsd_export.lowering.reading import read_graph
from vitsd_export.lowering.rewrites import rewrite
from vitsd_export.model.classifier import build_classifier
from vitsd_export.model.config import preset_config


def by_name(found: Cost) -> dict[str, Step]:
    """The operators by their names."""
    return {step.name: step for step in found.steps}


def test_a_dense_layer_by_hand() -> None:
    graph = trained("narrow heads")
    steps = by_name(cost(graph))
    # 4 tokens of 8 numbers, an MLP of 12.
    first = steps["block0/mlp/dense0"]
    assert first.multiply_adds == 4 * 8 * 12
    assert first.constants == 8 * 12 + 12
    assert first.bytes == 4 * (4 * 8 + 8 * 12 + 12)
    # 4 heads of width 2, each with scores of 4 by 4 tokens.
    assert steps["block0/attention/scores"].multiply_adds == 4 * 4 * 4 * 2


def test_the_published_network_by_hand() -> None:
    config = preset_config("vit-small-ds")
    graph = read_graph(build_classifier(config))
    tokens, dim, heads, width = 144, 64, 4, 64
    head = tokens * dim * 2048 + 2048 * 1024 + 1024 * 100
    projections = 4 * tokens * dim * heads * width
    attention = 2 * heads * tokens * tokens * width
    mlp = 2 * tokens * dim * 128
    tokenizer = tokens * 540 * dim
    assert cost(graph).multiply_adds == tokenizer + 8 * (projections + attention + mlp) + head
    lowered = rewrite(graph)[-1].graph
    # Two of four projections go in each of the eight blocks.
    windows = 32 * 96 * 432 + 144 * 32 * 432 + tokens * 432 * (dim + 2)
    assert cost(lowered).multiply_adds == (
        windows + 8 * (projections // 2 + attention + mlp) + head
    )


def test_a_constant_that_all_blocks_share_counts_once() -> None:
    steps = by_name(cost(trained("narrow heads")))
    assert steps["block0/attention/masked_scores"].constants == 16
    assert steps["block1/attention/masked_scores"].constants == 0


def test_an_operator_takes_its_arithmetic_or_its_weights_whichever_is_slower() -> None:
    computing = Step("computing", multiply_adds=1_000_000, constants=10, bytes=0)
    fetching = Step("fetching", multiply_adds=1000, constants=1000, bytes=0)
    seconds = Cost((computing, fetching)).seconds(flops=1e9, bandwidth=1e6)
    assert math.isclose(seconds, 2_000_000 / 1e9 + 4000 / 1e6)


@pytest.mark.parametrize("width", [1, 7])
def test_weights_are_all_that_is_constant(width: int) -> None:
    graph = trained("narrow heads")
    assert graph.head is not None
    logits = Dense(np.zeros((8, width)), np.zeros(width))
    wider = dataclasses.replace(graph, head=dataclasses.replace(graph.head, logits=logits))
    # Three classes before.
    assert cost(wider).weights - cost(graph).weights == 9 * (width - 3)
