"""Operators in integers, against float64."""

import numpy as np
import pytest

from tests.support.litert_runs import run
from vitsd_export.lowering.graph import Dense, LayerNorm
from vitsd_export.quantization.calibration.ranges import Activation, Calibration
from vitsd_export.quantization.integer_only.arithmetic import FixedPoint, Quantized
from vitsd_export.quantization.integer_only.operators import IntegerOperators
from vitsd_export.quantization.litert.writer import LiteRTWriter

ROWS, WIDTH = 40, 96
SCALE = 0.02
RNG = np.random.default_rng(12)


def activation(values: np.ndarray) -> Activation:
    return Activation(float(values.min()), float(values.max()), float(values.var()))


def operators(
    writer: LiteRTWriter, activations: dict[str, np.ndarray], patch_length: int = 240
) -> IntegerOperators:
    found = {name: activation(values) for name, values in activations.items()}
    return IntegerOperators(writer, Calibration((), found, 1), patch_length, "answer")


def layer_norm(x: np.ndarray, seen: np.ndarray, epsilon: float = 1e-6) -> np.ndarray:
    """The integer LayerNorm of int8 rows in steps of SCALE, calibrated on others, as floats."""
    exact = reference(seen, epsilon)
    variance = (seen * SCALE).var(axis=1)
    writer = LiteRTWriter()
    ops = operators(writer, {"norm": exact, "norm/variance": variance})
    given = Quantized(writer.tensor("x", x.shape, "int8", scale=SCALE), x.shape, SCALE)
    y = ops.layer_norm(given, LayerNorm(epsilon), x.shape[1], "norm")
    found = run(writer.content({"x": given.index}, {"y": y.index}), {"x": x})
    return np.asarray(found * y.scale)


def reference(x: np.ndarray, epsilon: float = 1e-6) -> np.ndarray:
    values = x.astype(np.float64) * SCALE
    centred = values - values.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.sqrt(values.var(axis=1, keepdims=True) + epsilon))


def tokens(spread: np.ndarray) -> np.ndarray:
    """Rows whose mean is not zero, of given standard deviations in steps."""
    values = RNG.normal(5, 1, (len(spread), WIDTH)) * spread[:, None]
    return np.clip(np.round(values), -128, 127).astype(np.int8)


def test_layer_norm_is_exact_but_for_its_last_rounding() -> None:
    x = tokens(np.geomspace(3, 20, ROWS))
    exact = reference(x)
    step = np.abs(exact).max() / 127
    found = layer_norm(x, x)
    # Half a step, and a quarter by the mean's; what a variance between two entries of the table makes of
    # a row as a whole is apart.
    gain = (found * exact).sum(axis=1) / np.square(exact).sum(axis=1)
    assert np.abs(gain - 1).max() < 0.03
    assert np.abs(found - exact * gain[:, None]).max() < 0.85 * step
    # Rows of the upper half of the variances are in the finer part of the table.
    assert np.abs(found - exact)[ROWS // 2 :].max() < step


def test_layer_norm_of_what_calibration_did_not_see_stays_bounded() -> None:
    seen = tokens(np.full(ROWS, 10.0))
    alternating = np.where(np.arange(WIDTH) % 2, 127, -128).astype(np.int8)
    spike = np.zeros(WIDTH, np.int8)
    spike[7] = 127
    x = np.stack([np.zeros(WIDTH, np.int8), np.full(WIDTH, 127, np.int8), alternating, spike])
    found = layer_norm(x, seen)
    step = np.abs(reference(seen)).max() / 127
    # Rows of one number have nothing but it.
    assert not found[0].any()
    assert np.abs(found[1]).max() < 0.5
    # What is too large for the range is cut off, with its sign.
    np.testing.assert_array_equal(np.sign(found[2]), np.sign(alternating))
    assert found[3].argmax() == 7
    assert np.abs(found).max() <= 128 * step * 1.001


def test_epsilon_counts() -> None:
    x = tokens(np.full(ROWS, 4.0))
    epsilon = float((x * SCALE).var(axis=1).mean())
    exact = reference(x, epsilon)
    assert np.abs(exact).max() < 0.8 * np.abs(reference(x)).max()
    assert np.abs(layer_norm(x, x, epsilon) - exact).max() < 2 * np.abs(exact).max() / 127


def test_the_residual_stream_adds_exactly() -> None:
    parts = [RNG.integers(-128, 128, (ROWS, WIDTH)).astype(np.int8) for _ in range(3)]
    scales = [0.05, 0.013, 0.31]
    positions = RNG.normal(0, 1, (ROWS, WIDTH))
    writer = LiteRTWriter()
    ops = operators(writer, {})
    given = [
        Quantized(writer.tensor(f"x{i}", (ROWS, WIDTH), "int8", scale=s), (ROWS, WIDTH), s)
        for i, s in enumerate(scales)
    ]
    total = ops.add(given[0], positions, "positions")
    for number, part in enumerate(given[1:]):
        total = ops.add(total, part, f"add{number}")
    assert isinstance(total, FixedPoint)
    inputs = {f"x{i}": part for i, part in enumerate(parts)}
    content = writer.content(
        {f"x{i}": part.index for i, part in enumerate(given)}, {"y": total.index}
    )
    found = run(content, inputs)
    exact = positions + sum(part * scale for part, scale in zip(parts, scales, strict=True))
    # Scales become whole multiples of the stream's step: a 260th of a part's own step at worst, here.
    assert np.abs(found * total.scale - exact).max() < 128 * 0.013 / 260 / 2 + 0.31 / 260
    assert np.abs(found).max() <= total.bound < 2**31


def test_a_dense_layer_makes_up_for_the_rounding_of_its_weights() -> None:
    kernel = RNG.normal(size=(WIDTH, 24))
    # Inputs that hang together.
    x = RNG.normal(size=(2000, 12)) @ RNG.normal(size=(12, WIDTH)) + 0.05 * RNG.normal(
        size=(2000, WIDTH)
    )
    scale = float(np.abs(x).max() / 127)
    integers = np.round(x / scale).astype(np.int8)
    exact = (integers * scale) @ kernel
    errors = []
    for moments in ({}, {"dense": [x.T @ x]}):
        writer = LiteRTWriter()
        found = Calibration((), {"dense": activation(exact)}, 1, moments)
        ops = IntegerOperators(writer, found, 240, "answer")
        given = Quantized(writer.tensor("x", x.shape, "int8", scale=scale), x.shape, scale)
        y = ops.dense(given, Dense(kernel, RNG.normal(size=24) * 0), "dense")
        content = writer.content({"x": given.index}, {"y": y.index})
        answer = run(content, {"x": integers}) * y.scale
        errors.append(np.square(answer - exact).mean())
        assert np.abs(answer - exact).max() < 4 * y.scale
    assert errors[1] < errors[0]


@pytest.mark.parametrize("high", [0.0, 0.4, 9.0])
def test_gelu_holds_its_least_value(high: float) -> None:
    writer = LiteRTWriter()
    ops = operators(writer, {"gelu": np.array([-0.1, high])})
    given = Quantized(writer.tensor("x", (1, 256), "int8", scale=0.05), (1, 256), 0.05)
    y = ops.gelu(given, "gelu")
    assert (-128 - y.zero_point) * y.scale <= -0.165
    assert (127 - y.zero_point) * y.scale >= 0.99 * high - y.scale
