"""Ranges of activations, against NumPy."""

import math

import numpy as np
import pytest

from tests.support.litert_networks import BLACK, PICTURES, activations, litert_network
from vitsd_export.quantization.calibration.ranges import Activation, Calibration, WeightedLayer
from vitsd_export.quantization.litert.calibration import calibrate


def check_statistics(calibration: Calibration, pictures: np.ndarray) -> None:
    """Compares extremes and variances with what NumPy finds."""
    pairs = activations(pictures)
    assert len(calibration.layers) == len(pairs)
    for layer, pair in zip(calibration.layers, pairs, strict=True):
        for name, values in zip((layer.input, layer.output), pair, strict=True):
            told = calibration.activations[name]
            assert (told.low, told.high) == pytest.approx((values.min(), values.max()), abs=1e-5)
            assert told.variance == pytest.approx(values.var(), rel=1e-4)
    assert calibration.images == len(pictures)


def test_statistics_are_those_of_all_pictures() -> None:
    check_statistics(calibrate(litert_network(), PICTURES), PICTURES)


def test_the_order_of_the_pictures_does_not_matter() -> None:
    forwards = calibrate(litert_network(), PICTURES)
    backwards = calibrate(litert_network(), PICTURES[::-1])
    assert backwards.layers == forwards.layers
    for name, activation in forwards.activations.items():
        other = backwards.activations[name]
        assert (other.low, other.high) == (activation.low, activation.high)
        assert other.variance == pytest.approx(activation.variance, rel=1e-9)


@pytest.mark.parametrize("batch", [2, 7, 10])
def test_a_network_of_another_batch(batch: int) -> None:
    # 7 pictures fill neither 2 nor 10: nothing but pictures may enter the extremes.
    calibration = calibrate(litert_network(batch), PICTURES)
    for layer, pair in zip(calibration.layers, activations(PICTURES), strict=True):
        for name, values in zip((layer.input, layer.output), pair, strict=True):
            told = calibration.activations[name]
            assert (told.low, told.high) == pytest.approx((values.min(), values.max()), abs=1e-5)
            assert told.finite
    assert calibration.images == len(PICTURES)


def test_one_answer_that_is_not_a_number_is_not_lost() -> None:
    pictures = np.concatenate([PICTURES[:3], BLACK, PICTURES[3:]])
    calibration = calibrate(litert_network(black_is_nan=True), pictures)
    assert not any(activation.finite for activation in calibration.activations.values())
    check_statistics(calibrate(litert_network(black_is_nan=True), PICTURES), PICTURES)


def test_a_range_reaches_to_zero_which_costs_steps() -> None:
    around = Activation(-1.0, 1.0, 0.25)
    beside = Activation(9.0, 11.0, 0.25)
    assert beside.int8_sqnr == pytest.approx(around.int8_sqnr - 20 * math.log10(11 / 2))


def test_progress_counts_pictures() -> None:
    done: list[int] = []
    calibrate(litert_network(), PICTURES, progress=done.append)
    assert done == [1, 2, 3, 4, 5, 6, 7]
    done.clear()
    calibrate(litert_network(2), PICTURES, progress=done.append)
    assert done == [2, 4, 6, 7]


def rounded_to_int8(values: np.ndarray) -> np.ndarray:
    """Values after affine int8 quantization over their own range, which includes zero."""
    low, high = min(values.min(), 0), max(values.max(), 0)
    step = (high - low) / 255
    return np.round((values - low) / step) * step + low


@pytest.mark.parametrize("draw", ["uniform", "normal", "laplace", "exponential"])
def test_the_signal_to_noise_ratio_is_that_of_rounding(draw: str) -> None:
    values = getattr(np.random.default_rng(5), draw)(size=200_000)
    noise = np.mean((rounded_to_int8(values) - values) ** 2)
    expected = 10 * np.log10(values.var() / noise)
    found = Activation(values.min(), values.max(), values.var()).int8_sqnr
    assert found == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("value", [0.0, 3.5, -2.0])
def test_a_constant_has_no_signal(value: float) -> None:
    assert Activation(value, value, 0.0).int8_sqnr == -np.inf


def test_a_layer_counts_by_the_worse_of_its_input_and_output() -> None:
    # A uniform tensor keeps 48 dB; an outlier of ten times its range costs 20 of them.
    good, bad = Activation(-1, 1, 1 / 3), Activation(-10, 10, 1 / 3)
    layers = (
        WeightedLayer("good", "good2"),
        WeightedLayer("good", "bad"),
        WeightedLayer("bad", "good"),
    )
    calibration = Calibration(layers, {"good": good, "good2": good, "bad": bad}, 1)
    assert calibration.layers_above(36) == layers[:1]
    assert calibration.layers_above(28) == layers
    assert calibration.layers_above(49) == ()


def test_the_geometry_of_a_lowered_tokenizer_is_not_calibrated() -> None:
    from tests.support.keras_models import loaded, small_transformer
    from vitsd_export._internal.tensorflow import quiet_converters
    from vitsd_export.exporters.litert import convert
    from vitsd_export.lowering.inference_graph import InferenceGraph

    graph = InferenceGraph(loaded(small_transformer()), answers_probabilities=False)
    with quiet_converters():
        content = convert(graph)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    outputs = [layer.output for layer in calibrate(content, images).layers]
    # The projection, four layers of attention, two of the MLP, and the logits.
    assert len(outputs) == 1 + 4 + 2 + 1
    assert not [name for name in outputs if name.startswith("tokenizer/windows/")]
