"""Which layers are int4: the large ones, or those that cost least within a budget."""

import math

import numpy as np
import pytest

from vitsd_export.quantization import int4_layers
from vitsd_export.quantization.int4_layers import (
    as_probabilities,
    divergence,
    harmless_layers,
    large_layers,
)

RNG = np.random.default_rng(3)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, in float64."""
    exponentials = np.exp(logits)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def test_large_layers_are_those_of_a_million_weights() -> None:
    assert large_layers({"a": 2**20 - 1, "b": 2**20, "c": 64}) == ("b",)


def test_divergence_is_that_of_kullback_and_leibler() -> None:
    p, q = (softmax(RNG.normal(size=(50, 10))) for _ in range(2))
    wanted = np.mean(
        [
            sum(a * math.log(a / b) for a, b in zip(*rows, strict=True))
            for rows in zip(p, q, strict=True)
        ]
    )
    assert divergence(p, q) == pytest.approx(wanted, rel=1e-12)
    assert divergence(p, p) == 0


def test_answers_that_are_not_numbers_are_never_harmless() -> None:
    p = softmax(RNG.normal(size=(4, 3)))
    assert divergence(p, np.full_like(p, np.nan)) == math.inf
    # One that underflows is.
    assert divergence(np.array([[1.0, 0.0]]), np.array([[1.0, 1e-30]])) == pytest.approx(
        0, abs=1e-12
    )


def test_logits_become_probabilities() -> None:
    logits = RNG.normal(0, 30, size=(5, 4))
    np.testing.assert_allclose(as_probabilities(logits, "logits"), softmax(logits), rtol=1e-12)
    np.testing.assert_array_equal(as_probabilities(logits, "probabilities"), logits)


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_layers_are_taken_by_their_cost_a_weight_until_the_budget(scale: float) -> None:
    # The same noise on answers that tell less is worse by as much.
    logits = scale * RNG.normal(0, 2, size=(200, 10))
    noise = {
        name: scale * level * RNG.normal(size=logits.shape)
        for name, level in (("quiet", 1e-3), ("wide", 2e-3), ("loud", 4e-3), ("loudest", 0.3))
    }
    sizes = {"loudest": 4000, "quiet": 100, "loud": 1000, "wide": 5000}
    exact = softmax(logits)

    def probabilities(name: str | None) -> np.ndarray:
        return exact if name is None else softmax(logits + noise[name])

    assert harmless_layers(sizes, probabilities) == ("wide", "quiet", "loud")
    # Half of a variance is a divergence; the information is half of that of the logits, and a little less.
    told = sum(level**2 for level in (1e-3, 2e-3, 4e-3)) / 2**2
    assert int4_layers.BUDGET / 20 < told < int4_layers.BUDGET


def test_one_layer_is_taken_whatever_it_costs() -> None:
    exact = softmax(RNG.normal(size=(20, 5)))
    others = {"a": softmax(RNG.normal(size=(20, 5))), "b": np.full((20, 5), np.nan)}
    assert harmless_layers(
        {"b": 50, "a": 50}, lambda name: exact if name is None else others[name]
    ) == ("a",)
