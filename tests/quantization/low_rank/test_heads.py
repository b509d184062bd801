"""Heads of low rank, against singular values, finite differences and brute force in float64."""

import dataclasses
from typing import Literal

import numpy as np
import pytest

from tests.support.float64_program import evaluate
from tests.support.keras_models import softmax
from tests.support.lowered_graphs import KINDS
from tests.support.numpy_reference import gelu
from tests.support.small_models import build_small
from vitsd_export.errors import InputError, UsageError
from vitsd_export.lowering.cost import cost
from vitsd_export.lowering.graph import Dense, Graph, Head, LowRankDense
from vitsd_export.lowering.reading import read_graph
from vitsd_export.lowering.rewrites import rewrite
from vitsd_export.measure.parity import kl_divergences
from vitsd_export.quantization.low_rank import fitting as head_fitting
from vitsd_export.quantization.low_rank import heads as low_rank
from vitsd_export.quantization.low_rank.fitting import fit_head
from vitsd_export.quantization.low_rank.heads import HeadCompression, HeadCompressor, Judge
from vitsd_export.quantization.low_rank.subspaces import (
    OutputStatistics,
    factor,
    find_subspace,
    head_statistics,
    with_prior,
)

_RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads are fitted in fewer steps, which is enough to see that they are."""
    monkeypatch.setattr(head_fitting, "_STEPS", 100)


def photos(count: int, seed: int = 0) -> np.ndarray:
    """Images of 10 × 10 pixels for `flat_graph`."""
    return np.random.default_rng(seed).integers(0, 256, (count, 10, 10, 3), dtype=np.uint8)


def flat_graph(*units: int, softmax: bool = False, bias: bool = True) -> Graph:
    """A lowered graph whose head takes 128 numbers and has hidden layers of these widths."""
    model = build_small(**{**KINDS["wide heads"], "head_units": units or (7, 6)})
    graph = rewrite(read_graph(model, all_float64=True))[-1].graph
    assert graph.head is not None
    if not bias:
        first = Dense(graph.head.hidden[0].kernel, None)
        head = dataclasses.replace(graph.head, hidden=(first, *graph.head.hidden[1:]))
        graph = dataclasses.replace(graph, head=head)
    return dataclasses.replace(graph, softmax=softmax)


def example(outputs: int = 12) -> tuple[Dense, np.ndarray, np.ndarray]:
    """A layer of 20 inputs, 300 inputs of unequal variance and a mean, and what it answers."""
    x = _RNG.normal(1, 1, (300, 20)) * np.geomspace(1, 0.01, 20)
    layer = Dense(_RNG.normal(size=(20, outputs)), _RNG.normal(size=outputs))
    return layer, x, apply(layer, x)


def apply(layer: Dense | LowRankDense, x: np.ndarray) -> np.ndarray:
    """What a layer answers, in float64."""
    if isinstance(layer, LowRankDense):
        return apply(layer.expansion, apply(layer.reduction, x))
    return np.asarray(x @ layer.kernel + (0 if layer.bias is None else layer.bias))


def statistics(y: np.ndarray, fisher: np.ndarray) -> OutputStatistics:
    """Statistics of outputs, by NumPy's own functions."""
    return OutputStatistics(len(y), y.mean(axis=0), np.cov(y.T, bias=True), fisher)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_without_a_weighting_the_error_is_that_of_the_singular_values_left_out(rank: int) -> None:
    layer, x, y = example()
    small = factor(layer, find_subspace(statistics(y, np.eye(12)), "x"), rank)
    singular = np.linalg.svd(y - y.mean(axis=0), compute_uv=False)
    error = np.square(apply(small, x) - y).sum()
    assert error == pytest.approx(np.square(singular[rank:]).sum(), rel=1e-9)
    assert small.reduction.kernel.shape == (20, rank)
    assert small.expansion.kernel.shape == (rank, 12)


def test_the_best_of_the_kernel_alone_is_worse_on_these_inputs() -> None:
    layer, x, y = example()
    u, values, vt = np.linalg.svd(layer.kernel)
    stock = Dense((u[:, :3] * values[:3]) @ vt[:3], layer.bias)
    small = factor(layer, find_subspace(statistics(y, np.eye(12)), "x"), 3)
    assert np.square(apply(small, x) - y).sum() < 0.5 * np.square(apply(stock, x) - y).sum()


def test_weighted_by_what_follows_no_other_projection_loses_less() -> None:
    layer, x, y = example()
    half = _RNG.normal(size=(12, 12)) * np.geomspace(1, 0.1, 12)
    fisher = half @ half.T
    small = factor(layer, find_subspace(statistics(y, fisher), "x"), 3)
    weight = fisher + 0.1 * np.trace(fisher) / 12 * np.eye(12)

    def loss(found: np.ndarray) -> float:
        return float(np.einsum("ni,ij,nj->", found - y, weight, found - y))

    mean, least = y.mean(axis=0), loss(apply(small, x))
    # The best of a metric is the best of singular values in its coordinates.
    root = np.linalg.cholesky(weight)
    singular = np.linalg.svd((y - mean) @ root, compute_uv=False)
    assert least == pytest.approx(np.square(singular[3:]).sum(), rel=1e-9)
    # Descent from the solution, in both factors, leads nowhere.
    forward, backward = small.reduction.kernel, small.expansion.kernel
    for _ in range(200):
        nudged = LowRankDense(
            Dense(forward + _RNG.normal(0, 1e-3, forward.shape), small.reduction.bias),
            Dense(backward + _RNG.normal(0, 1e-3, backward.shape), small.expansion.bias),
        )
        assert loss(apply(nudged, x)) >= least


def test_the_mean_answer_stays() -> None:
    layer, x, y = example()
    for rank in (1, 5):
        small = factor(layer, find_subspace(statistics(y, np.eye(12)), "x"), rank)
        np.testing.assert_allclose(apply(small, x).mean(axis=0), y.mean(axis=0), atol=1e-12)
        inner = apply(small.reduction, x)
        np.testing.assert_allclose(inner.mean(axis=0), 0, atol=1e-10)


def test_all_directions_are_the_layer_itself() -> None:
    layer, x, y = example(outputs=6)
    small = factor(layer, find_subspace(statistics(y, np.eye(6)), "x"), 6)
    np.testing.assert_allclose(apply(small, x), y, atol=1e-10)


def test_numbers_in_between_differ_in_size_by_the_fourth_root_of_their_variances() -> None:
    layer, x, y = example()
    subspace = find_subspace(statistics(y, np.eye(12)), "x")
    small = factor(layer, subspace, 5)
    values = np.linalg.eigvalsh(1.1 * np.cov(y.T, bias=True))[::-1][:5]
    # The ridge adds a tenth of the mean eigenvalue, which is one.
    spread = apply(small.reduction, x).std(axis=0)
    np.testing.assert_allclose(spread, values**0.25, rtol=1e-9)
    np.testing.assert_allclose(subspace.loss[0], 1)
    total = np.trace(np.cov(y.T, bias=True)) * 1.1
    np.testing.assert_allclose(1 - subspace.loss[5], values.sum() / total, rtol=1e-9)


def tail(head: Head, number: int, y: np.ndarray) -> np.ndarray:
    """Logits of the outputs of a head's hidden layer."""
    for layer in (*head.hidden[number + 1 :], head.logits):
        y = apply(layer, gelu(y))
    return y


@pytest.mark.parametrize("softmax", [False, True])
def test_statistics_are_those_of_finite_differences(softmax: bool) -> None:
    graph, images = flat_graph(7, 6, softmax=softmax), photos(37)
    head = graph.head
    assert head is not None
    layers = ("head/dense0", "head/dense1")
    tokens = evaluate(dataclasses.replace(graph, head=None), images)
    found = head_statistics(graph, tokens.astype(np.float32), layers)
    x = tokens.reshape(len(tokens), -1)
    for number, name in enumerate(layers):
        y = apply(head.hidden[number], x)
        np.testing.assert_allclose(found[name].mean, y.mean(axis=0), atol=1e-4)
        covariance = np.cov(y.T, bias=True)
        np.testing.assert_allclose(found[name].covariance, covariance, atol=1e-4 * covariance.max())
        width, step = y.shape[1], 1e-5
        fisher = np.zeros((width, width))
        for row in y:
            moved = tail(head, number, row + step * np.eye(width))
            back = tail(head, number, row - step * np.eye(width))
            jacobian = (moved - back).T / (2 * step)
            logits = tail(head, number, row[None])[0]
            p = np.exp(logits - logits.max())
            p /= p.sum()
            fisher += jacobian.T @ (np.diag(p) - np.outer(p, p)) @ jacobian / len(y)
        np.testing.assert_allclose(found[name].fisher, fisher, atol=1e-3 * fisher.max())
        assert found[name].images == 37
        x = gelu(y)


def test_fisher_information_tells_the_divergence_of_small_changes() -> None:
    graph, images = flat_graph(7, 6), photos(40)
    head = graph.head
    assert head is not None
    tokens = evaluate(dataclasses.replace(graph, head=None), images)
    found = head_statistics(graph, tokens.astype(np.float32), ("head/dense0",))
    fisher = found["head/dense0"].fisher
    y = apply(head.hidden[0], tokens.reshape(len(tokens), -1))
    step = _RNG.normal(0, 0.02, 7)

    def log_softmax(z: np.ndarray) -> np.ndarray:
        z = z - z.max(axis=1, keepdims=True)
        return np.asarray(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))

    before, after = log_softmax(tail(head, 0, y)), log_softmax(tail(head, 0, y + step))
    divergence = float((np.exp(before) * (before - after)).sum(axis=1).mean())
    assert divergence == pytest.approx(step @ fisher @ step / 2, rel=0.05)


def compress(graph: Graph, images: np.ndarray, rank: int | Literal["auto"]) -> HeadCompression:
    """Compresses a head; of two of a rank, the one that diverges less on other images."""
    return HeadCompressor(graph, images, photos(200, seed=1), judge_below(0)).compress(rank)


def low_rank_graph(rank: int) -> Graph:
    """A graph whose head's first layer, 128 × 64, has this rank and no more."""
    graph = flat_graph(64)
    assert graph.head is not None
    first = graph.head.hidden[0]
    kernel = _RNG.normal(size=(128, rank)) @ _RNG.normal(size=(rank, 64)) / rank
    head = dataclasses.replace(graph.head, hidden=(Dense(kernel, first.bias),))
    return dataclasses.replace(graph, head=head)


def test_a_layer_of_low_rank_is_found_exactly() -> None:
    graph, images = low_rank_graph(16), photos(200)
    small = compress(graph, images, 16)
    assert small.reason is None
    assert small.layers[0].kept == pytest.approx(1, abs=1e-6)
    assert (
        small.weights_after == 16 * (128 + 64) + 64 * 3 < small.weights_before == 128 * 64 + 64 * 3
    )
    fresh = photos(20, seed=1)
    np.testing.assert_allclose(evaluate(small.graph, fresh), evaluate(graph, fresh), atol=2e-3)
    assert cost(small.graph).multiply_adds < cost(graph).multiply_adds


def judge_below(most: float) -> Judge:
    """Lets heads pass that diverge by no more than this, in nats."""

    def judge(reference: np.ndarray, probabilities: np.ndarray) -> tuple[float, bool]:
        assert reference.sum(axis=1) == pytest.approx(np.ones(len(reference)), abs=1e-5)
        divergence = float(kl_divergences(reference, probabilities).mean())
        return divergence, divergence <= most

    return judge


@pytest.mark.parametrize("softmax", [False, True])
def test_auto_takes_the_first_rank_that_passes(softmax: bool) -> None:
    graph, images = low_rank_graph(20), photos(300)
    graph = dataclasses.replace(graph, softmax=softmax)
    held_out = photos(250, seed=1)
    small = HeadCompressor(graph, images, held_out, judge_below(1e-6)).compress("auto")
    assert small.rank == 32
    assert small.divergence == small.tried[32] <= 1e-6 < small.tried[16]
    # The figure is the divergence in float64, too.
    sixteen = HeadCompressor(graph, images, held_out, judge_below(1e-6)).compress(16)
    before, after = (softmax_of(each, held_out) for each in (graph, sixteen.graph))
    expected = kl_divergences(before, after).mean()
    assert sixteen.divergence == small.tried[16] == pytest.approx(expected, rel=1e-3)


def softmax_of(graph: Graph, images: np.ndarray) -> np.ndarray:
    """Probabilities in float64."""
    return softmax(evaluate(dataclasses.replace(graph, softmax=False), images))


@pytest.mark.parametrize("allowed", range(6))
def test_auto_finds_the_first_of_many_ranks_in_few_tries(
    allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ladder = (2, 4, 8, 16, 24)
    monkeypatch.setattr(low_rank, "LADDER", ladder)
    compressor = HeadCompressor(flat_graph(64), photos(60), photos(200, seed=1), judge_below(0))
    tried = []

    def fitted(head: Head, rank: int) -> tuple[HeadCompression, bool]:
        tried.append(rank)
        small = HeadCompression(compressor._graph, rank, (), 2, 1, 0.5, {rank: 0.5}, None)
        return small, rank >= (*ladder, 99)[allowed]

    monkeypatch.setattr(compressor, "_fitted", fitted)
    outcome = compressor.compress("auto")
    assert outcome.rank == (*ladder, None)[allowed]
    assert len(tried) <= 3
    assert list(outcome.tried) == sorted(tried)


def test_auto_goes_up_to_the_rank_that_saves_nothing() -> None:
    graph = flat_graph(64)
    outcome = HeadCompressor(graph, photos(30), photos(200, seed=1), judge_below(-1)).compress(
        "auto"
    )
    assert outcome.graph is graph
    assert outcome.rank is None
    assert outcome.layers == ()
    # 128 × 64 gets smaller up to rank 42: more than there are images.
    assert max(outcome.tried) == 32
    assert outcome.reason is not None
    assert "no rank that makes it smaller keeps its answers" in outcome.reason
    assert "nats at rank 32" in outcome.reason
    assert outcome.weights_after == outcome.weights_before


def test_more_ranks_than_images_lose_less() -> None:
    graph, held_out = flat_graph(64), photos(200, seed=1)
    found = {
        rank: HeadCompressor(graph, photos(20), held_out, judge_below(0)).compress(rank).divergence
        for rank in (8, 20, 40)
    }
    assert found[8] is not None
    assert found[20] is not None
    assert found[40] is not None
    assert found[40] < 0.5 * found[20]
    assert found[20] < 0.75 * found[8]


def test_a_fitted_head_diverges_less() -> None:
    graph, images = flat_graph(64), photos(400)
    tokens = evaluate(dataclasses.replace(graph, head=None), images).astype(np.float32)
    subspace = find_subspace(head_statistics(graph, tokens, ("head/dense0",))["head/dense0"], "x")
    assert graph.head is not None
    first = graph.head.hidden[0]
    assert isinstance(first, Dense)
    plain = dataclasses.replace(
        graph, head=dataclasses.replace(graph.head, hidden=(factor(first, subspace, 4),))
    )
    fitted, again = (fit_head(plain, graph, tokens) for _ in range(2))
    fresh = photos(200, seed=1)
    wanted = softmax_of(graph, fresh)
    before, after = (
        kl_divergences(wanted, softmax_of(each, fresh)).mean() for each in (plain, fitted)
    )
    assert after < 0.95 * before
    # Only what comes after the narrow layer has changed, and every time in the same way.
    assert fitted.head is not None
    assert again.head is not None
    layer, same, old = fitted.head.hidden[0], again.head.hidden[0], factor(first, subspace, 4)
    assert isinstance(layer, LowRankDense)
    assert isinstance(same, LowRankDense)
    np.testing.assert_array_equal(layer.reduction.kernel, old.reduction.kernel)
    np.testing.assert_array_equal(layer.expansion.kernel, same.expansion.kernel)
    assert fitted.head.logits is graph.head.logits


def test_the_prior_weighs_less_the_more_images_there_are() -> None:
    layer, _, y = example()
    found = statistics(y, np.eye(12))
    shares = []
    for images in (50, 5000):
        joined = with_prior(dataclasses.replace(found, images=images), layer)
        added = joined.covariance - found.covariance
        prior = layer.kernel.T @ layer.kernel
        np.testing.assert_allclose(added / added[0, 0], prior / prior[0, 0], rtol=1e-4)
        shares.append(np.trace(added) / np.trace(found.covariance))
    assert shares == pytest.approx([32 / 50, 32 / 5000], rel=1e-5)


def test_only_layers_that_get_smaller_are_factored() -> None:
    graph = flat_graph(64, 20)
    outcome = compress(graph, photos(100), 16)
    assert [layer.name for layer in outcome.layers] == ["head/dense0"]
    assert outcome.graph.head is not None
    assert isinstance(outcome.graph.head.hidden[1], Dense)


def test_a_layer_without_a_bias() -> None:
    graph, images = flat_graph(64, bias=False), photos(100)
    outcome = compress(graph, images, 40)
    np.testing.assert_allclose(
        evaluate(outcome.graph, images).mean(axis=0), evaluate(graph, images).mean(axis=0), atol=0.1
    )


def test_other_images_choose_other_directions_but_the_same_ones_the_same() -> None:
    graph = flat_graph(64)
    first, again = (compress(graph, photos(64), 8).graph.head for _ in range(2))
    assert first is not None
    assert again is not None
    for one, other in zip(first.hidden, again.hidden, strict=True):
        assert isinstance(one, LowRankDense)
        assert isinstance(other, LowRankDense)
        np.testing.assert_array_equal(one.reduction.kernel, other.reduction.kernel)


def test_a_head_without_hidden_layers_is_left_alone() -> None:
    model = build_small(**KINDS["narrow heads"])
    graph = rewrite(read_graph(model, all_float64=True))[-1].graph
    images = np.zeros((200, 8, 8, 3), np.uint8)
    outcome = compress(graph, images, "auto")
    assert outcome.graph is graph
    assert outcome.reason == "the model's head has no hidden layer that could be factored"
    with pytest.raises(UsageError, match="no hidden layer"):
        compress(graph, images, 2)


@pytest.mark.parametrize(
    ("rank", "message"), [(0, "at least 1"), (43, r"\(128 × 64\) get smaller up")]
)
def test_an_impossible_rank_is_a_usage_error(rank: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compress(flat_graph(64), photos(100), rank)


def test_images_all_alike_have_no_directions() -> None:
    with pytest.raises(InputError, match="head/dense0 answers all 50 calibration images alike"):
        compress(flat_graph(64), np.full((50, 10, 10, 3), 9, np.uint8), 8)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="Resize the images to 10 × 10"):
        compress(flat_graph(64), np.zeros((50, 9, 9, 3), np.uint8), 8)


def test_weights_that_are_no_numbers_are_named() -> None:
    graph = flat_graph(64)
    assert graph.head is not None
    broken = graph.head.hidden[0].kernel.copy()
    broken[0, 0] = np.nan
    head = dataclasses.replace(graph.head, hidden=(Dense(broken, None),))
    with pytest.raises(InputError, match="head/dense0 answers calibration images with NaN"):
        compress(dataclasses.replace(graph, head=head), photos(50), 8)
