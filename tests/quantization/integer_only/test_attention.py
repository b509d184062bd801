"""Attention weights in integers, against the softmax in float64."""

import numpy as np
import pytest

from tests.support.keras_models import softmax
from tests.support.litert_runs import run
from vitsd_export.quantization.integer_only.arithmetic import IntegerArithmetic, Quantized
from vitsd_export.quantization.integer_only.attention import attention_weights, masked_scores
from vitsd_export.quantization.litert.writer import LiteRTWriter

TOKENS = 64
SCALE = 0.05
RNG = np.random.default_rng(8)
# From rows in which all tokens count alike to rows of one token.
SPREADS = [0.0, 0.3, 1.0, 2.5, 6.0]


def scores(spread: float) -> np.ndarray:
    """int8 scores [1, TOKENS, TOKENS] in steps of SCALE."""
    values = RNG.normal(0, spread, (1, TOKENS, TOKENS)) / SCALE
    return np.clip(np.round(values), -128, 127).astype(np.int8)


def ours(x: np.ndarray) -> np.ndarray:
    """The weights, divided by their sums in float64 as the product's rows are."""
    found = []
    for part in ("weights", "factor"):
        writer = LiteRTWriter()
        given = Quantized(writer.tensor("x", x.shape, "int8", scale=SCALE), x.shape, SCALE)
        weights = attention_weights(IntegerArithmetic(writer), given)
        assert weights.row_factor is not None
        wanted = weights if part == "weights" else weights.row_factor
        answer = run(writer.content({"x": given.index}, {"y": wanted.index}), {"x": x})
        found.append((answer.astype(np.float64) - wanted.zero_point) * wanted.scale)
    return np.asarray(found[0] * found[1])


def stock(x: np.ndarray) -> np.ndarray:
    """LiteRT's own int8 softmax."""
    writer = LiteRTWriter()
    given = writer.tensor("x", x.shape, "int8", scale=SCALE)
    answer = writer.tensor("y", x.shape, "int8", scale=1 / 256, zero_point=-128)
    writer.operator("SOFTMAX", [given], answer, version=2, options="SoftmaxOptions", beta=1.0)
    found = run(writer.content({"x": given}, {"y": answer}), {"x": x})
    return np.asarray((found.astype(np.float64) + 128) / 256)


def reference(x: np.ndarray) -> np.ndarray:
    return softmax(x[0].astype(np.float64) * SCALE)[None]


def error(found: np.ndarray, exact: np.ndarray) -> float:
    """Square error of an answer to values drawn at random, by its own square."""
    values = np.random.default_rng(1).normal(size=(TOKENS, 16))
    return float(np.square((found - exact) @ values).sum() / np.square(exact @ values).sum())


@pytest.mark.parametrize("spread", SPREADS)
def test_weights_are_those_of_the_softmax(spread: float) -> None:
    x = scores(spread)
    # 30 dB: five bits.
    assert error(ours(x), reference(x)) < 1e-3


def test_many_like_weights_keep_more_than_in_litert() -> None:
    x = scores(0.3)
    exact = reference(x)
    assert error(ours(x), exact) < error(stock(x), exact) / 10


def test_masked_scores_get_no_weight() -> None:
    x = scores(1.0)
    # The masked ones are the highest of all.
    x[:, np.arange(TOKENS), np.arange(TOKENS)] = 127
    mask = np.where(np.eye(TOKENS, dtype=bool), -1e9, 0.0)
    writer = LiteRTWriter()
    arithmetic = IntegerArithmetic(writer)
    given = Quantized(writer.tensor("x", x.shape, "int8", scale=SCALE), x.shape, SCALE)
    masked = masked_scores(arithmetic, given, mask, "masked")
    found = run(writer.content({"x": given.index}, {"y": masked.index}), {"x": x})
    np.testing.assert_array_equal(found, np.where(mask < 0, -128, x))
