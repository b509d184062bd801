"""Quantizing .tflite files."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.support.litert_networks import BLACK, PICTURES, WEIGHTS, activations, litert_network
from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.errors import InputError, UsageError
from vitsd_export.quantization.calibration.ranges import Activation, Calibration
from vitsd_export.quantization.litert.calibration import calibrate
from vitsd_export.quantization.litert.quantizer import quantize

# What each scheme asks of the quantizer, beside its calibration.
SETTINGS: dict[str, dict[str, Any]] = {
    "int8": {},
    "dynamic-int8": {},
    "weight-only-int8": {"weight_only": True},
    "float16": {"bits": 16, "weight_only": True},
}


def interpreter(content: bytes) -> Any:
    """A file in LiteRT without its delegate, so that all tensors and operators can be seen."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    runtime = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    runtime.allocate_tensors()
    return runtime


def layers(content: bytes) -> list[tuple[str, str, str]]:
    """Types of input, weights and output of each dense layer, in their order."""
    runtime = interpreter(content)
    types = {
        details["index"]: np.dtype(details["dtype"]).name
        for details in runtime.get_tensor_details()
    }
    return [
        (types[operator["inputs"][0]], types[operator["inputs"][1]], types[operator["outputs"][0]])
        for operator in runtime._get_ops_details()
        if operator["op_name"] == "FULLY_CONNECTED"
    ]


def answers(content: bytes) -> np.ndarray:
    """What a file says of the pictures."""
    runtime = interpreter(content)
    image, logits = runtime.get_input_details()[0], runtime.get_output_details()[0]
    rows = []
    for picture in PICTURES:
        runtime.set_tensor(image["index"], picture[None])
        runtime.invoke()
        rows.append(runtime.get_tensor(logits["index"])[0])
    return np.stack(rows)


@pytest.fixture(scope="module")
def int8() -> bytes:
    """The network in int8."""
    calibration = calibrate(litert_network(), PICTURES)
    with quiet_converters():
        return quantize(litert_network(), calibration)


@pytest.fixture(scope="module")
def dynamic() -> bytes:
    """The network with int8 weights."""
    with quiet_converters():
        return quantize(litert_network())


def test_dynamic_keeps_activations_in_float32(dynamic: bytes) -> None:
    assert layers(dynamic) == [("float32", "int8", "float32")] * 4


def test_int8_calibrates_the_layers_that_keep_six_bits(
    int8: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibration = calibrate(litert_network(), PICTURES)
    assert layers(int8) == [("int8", "int8", "int8")] * 4

    ratios = [
        min(calibration.activations[name].int8_sqnr for name in (layer.input, layer.output))
        for layer in calibration.layers
    ]
    assert len(set(ratios)) == 4
    for limit in sorted(ratios):
        monkeypatch.setattr("vitsd_export.quantization.litert.quantizer.SUFFICIENT_SQNR", limit)
        with quiet_converters():
            mixed = quantize(litert_network(), calibration)
        assert layers(mixed) == [
            ("int8", "int8", "int8") if ratio >= limit else ("float32", "int8", "float32")
            for ratio in ratios
        ]


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_int8_leaves_the_others_to_run_time(kept: int) -> None:
    calibration = calibrate(litert_network(), PICTURES)
    names = [layer.output for layer in calibration.layers]
    # The first one's name alone must be meant where it is looked up.
    assert names[1].startswith(names[0])
    # What is a constant has no range that suffices.
    constants = {
        name: dataclasses.replace(calibration.activations[name], variance=0.0)
        for name in names
        if name != names[kept]
    }
    partial = dataclasses.replace(calibration, activations={**calibration.activations, **constants})
    with quiet_converters():
        content = quantize(litert_network(), partial)
    wanted = [("float32", "int8", "float32")] * 4
    wanted[kept] = ("int8", "int8", "int8")
    assert layers(content) == wanted


@pytest.mark.parametrize("scheme", ["int8", "dynamic"])
def test_weights_have_a_scale_for_each_output(scheme: str, request: Any) -> None:
    runtime = interpreter(request.getfixturevalue(scheme))
    details = {entry["index"]: entry for entry in runtime.get_tensor_details()}
    kernels = [
        details[operator["inputs"][1]]
        for operator in runtime._get_ops_details()
        if operator["op_name"] == "FULLY_CONNECTED"
    ]
    for kernel, weights in zip(kernels, WEIGHTS, strict=True):
        scales = kernel["quantization_parameters"]["scales"]
        assert scales.shape == (weights.shape[1],)
        # The largest weight of an output takes the whole range.
        np.testing.assert_allclose(scales, np.abs(weights).max(axis=0) / 127, rtol=1e-5)
        stored = runtime.get_tensor(kernel["index"]).T * scales
        np.testing.assert_allclose(stored, weights, atol=scales.max() / 2 + 1e-6)


def test_ranges_of_int8_activations_are_the_calibrated_ones(int8: bytes) -> None:
    runtime = interpreter(int8)
    details = {entry["index"]: entry for entry in runtime.get_tensor_details()}
    calibrated = [
        operator
        for operator in runtime._get_ops_details()
        if operator["op_name"] == "FULLY_CONNECTED"
    ]
    for operator, pair in zip(calibrated, activations(PICTURES), strict=True):
        for tensor, values in zip(
            (operator["inputs"][0], operator["outputs"][0]), pair, strict=True
        ):
            scale, zero_point = details[tensor]["quantization"]
            low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
            assert low == pytest.approx(min(values.min(), 0), abs=1.01 * scale)
            assert high == pytest.approx(max(values.max(), 0), abs=1.01 * scale)


@pytest.mark.parametrize("scheme", ["int8", "dynamic"])
def test_answers_are_near(scheme: str, request: Any) -> None:
    expected = activations(PICTURES)[-1][1]
    got = answers(request.getfixturevalue(scheme))
    np.testing.assert_allclose(got, expected, atol=0.05 * np.abs(expected).max())
    assert np.abs(got - expected).max() > 0


def test_quantizing_twice_gives_the_same_bytes(int8: bytes) -> None:
    calibration = calibrate(litert_network(), PICTURES)
    with quiet_converters():
        assert quantize(litert_network(), calibration) == int8


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_range_that_is_not_finite_is_refused(value: float) -> None:
    sound = calibrate(litert_network(), PICTURES)
    name = sound.layers[1].output
    damaged = {**sound.activations, name: Activation(0.0, value, 1.0)}
    broken = Calibration(sound.layers, damaged, sound.images)
    with pytest.raises(InputError, match=f"{name} is not finite.*train or save it again"):
        broken.ranged("minmax")


def test_one_picture_that_gives_nan_is_enough() -> None:
    content = litert_network(black_is_nan=True)
    calibration = calibrate(content, np.concatenate([PICTURES, BLACK, PICTURES]))
    with pytest.raises(InputError, match="not finite"):
        calibration.ranged("minmax")


@pytest.mark.parametrize("scheme", ["int8", "dynamic-int8"])
def test_a_network_without_weighted_layers_is_refused(scheme: str) -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([1, 4, 4, 3], tf.uint8, "image")])
    def mean(image: Any) -> Any:
        return {"logits": tf.reduce_mean(tf.cast(image, tf.float32), [1, 2])}

    with quiet_converters():
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [mean.get_concrete_function()], tf.Module()
        )
        content = bytes(converter.convert())
    with pytest.raises(InputError, match="no layer that can be quantized"):
        quantize(content, calibrate(content, PICTURES), **SETTINGS[scheme])


def test_weight_only_rounds_weights_alone() -> None:
    with quiet_converters():
        content = quantize(litert_network(), weight_only=True)
    # Weights are widened by an operator of its own.
    assert layers(content) == [("float32", "float32", "float32")] * 4
    assert len(content) < 0.6 * len(litert_network())
    x = PICTURES.reshape(len(PICTURES), -1).astype(np.float64) / 255
    for number, weights in enumerate(WEIGHTS):
        scale = np.abs(weights).max(axis=0) / 127
        x = (np.tanh(x) if number else x) @ (np.round(weights / scale) * scale)
    np.testing.assert_allclose(answers(content), x, atol=1e-5)


@pytest.mark.parametrize("scheme", ["int8", "dynamic-int8", "weight-only-int8", "float16"])
def test_layers_can_be_kept_in_float(scheme: str) -> None:
    calibration = calibrate(litert_network(), PICTURES) if scheme == "int8" else None
    with quiet_converters():
        content = quantize(
            litert_network(), calibration, keep_float=["layer1b"], **SETTINGS[scheme]
        )
        with pytest.raises(UsageError, match="layer1b"):
            quantize(litert_network(), calibration, keep_float=["layer1x"], **SETTINGS[scheme])
    held = [tensor for tensor in interpreter(content).get_tensor_details() if tensor["shape"].size]
    shape = WEIGHTS[2].T.shape
    types = {np.dtype(entry["dtype"]).name for entry in held if tuple(entry["shape"]) == shape}
    assert types == {"float32"}
