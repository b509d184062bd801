"""Quantizing ONNX models, against NumPy in float64."""

import sys
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from tests.support.onnx_networks import (
    ALPHA,
    BIASES,
    KERNELS,
    PICTURES,
    convolution_network,
    dense_answers,
    dense_network,
    run,
)
from vitsd_export.artifact.macs import sum_up
from vitsd_export.artifact.onnx_macs import find_products
from vitsd_export.errors import InputError, UsageError
from vitsd_export.quantization import int4_layers
from vitsd_export.quantization.calibration.ranges import Calibration
from vitsd_export.quantization.making import Cpu
from vitsd_export.quantization.onnx.calibration import calibrate_onnx
from vitsd_export.quantization.onnx.gemms import split_gemms
from vitsd_export.quantization.onnx.quantizer import (
    Quantizer,
    Settings,
    quantize_dynamic,
    quantize_int4,
    quantize_static,
    quantize_weights,
)

QUANTIZERS: dict[str, Quantizer] = {
    "weight-only-int8": quantize_weights,
    "dynamic-int8": quantize_dynamic,
    "int8": quantize_static,
    "int4": quantize_int4,
}


def quantize(
    model: onnx.ModelProto, scheme: str, calibration: Calibration, **settings: Any
) -> onnx.ModelProto:
    """Quantizes a model by a scheme's name."""
    return QUANTIZERS[scheme](model, calibration, Settings(**settings))


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """Ranges and moments of the dense network."""
    return calibrate_onnx(dense_network(), PICTURES, moments_up_to=sys.maxsize)


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The initializers of a model."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@pytest.mark.parametrize("scheme", QUANTIZERS)
def test_answers_are_near_and_operators_standard(scheme: str, calibration: Calibration) -> None:
    model = quantize(dense_network(), scheme, calibration, images=PICTURES)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert {entry.domain for entry in model.opset_import} == {""}
    expected, got = dense_answers(PICTURES), run(model, PICTURES)
    error = np.abs(got - expected).max() / np.abs(expected).max()
    assert 1e-5 < error < (0.15 if scheme == "int4" else 0.03)


@pytest.mark.parametrize("cpu", ["avx2", "vnni", "arm"])
def test_int8_has_the_integers_of_the_processor(cpu: Cpu, calibration: Calibration) -> None:
    model = quantize(dense_network(), "int8", calibration, cpu=cpu)
    held = constants(model)
    levels = 64 if cpu == "avx2" else 127
    for name in ("layer1/kernel_by_column", "kernel2"):
        integers, scales = held[f"{name}_quantized"], held[f"{name}_scale"]
        assert integers.dtype == np.int8
        assert scales.shape == (integers.shape[1],)
        # Every channel uses the whole range, and no more.
        assert (np.abs(integers.astype(int)).max(axis=0) == levels).all()
    zeros = [held[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert {zero.dtype.name for zero in zeros} == {"int8" if cpu == "arm" else "uint8"}


@pytest.fixture(scope="module")
def transposed_keys(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """A vision transformer whose keys are its tokens, which a Transpose turns for the scores."""
    from tests.support.keras_models import loaded
    from tests.support.lowered_graphs import WIDE_HEADS
    from tests.support.small_models import build_small
    from vitsd_export.exporters.onnx import write_onnx
    from vitsd_export.lowering.inference_graph import InferenceGraph

    path = tmp_path_factory.mktemp("transposed") / "model.onnx"
    model = build_small(**{**WIDE_HEADS, "dim": 16, "key_dim": 16, "mlp_units": (32, 16)})
    graph = InferenceGraph(loaded(model), answers_probabilities=False, output="logits")
    write_onnx(graph, path)
    return onnx.load(path)


@pytest.mark.parametrize("cpu", get_args(Cpu))
@pytest.mark.parametrize("scheme", QUANTIZERS)
def test_keys_that_are_transposed_run_on_every_cpu(
    transposed_keys: onnx.ModelProto, scheme: str, cpu: Cpu
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 10, 10, 3), dtype=np.uint8)
    model = onnx.ModelProto()
    model.CopyFrom(transposed_keys)
    assert "block0/attention/scores/transposed" in {node.name for node in model.graph.node}
    expected = run(model, pixels)
    calibration = calibrate_onnx(model, pixels, moments_up_to=sys.maxsize)
    quantized = quantize(model, scheme, calibration, cpu=cpu, images=pixels)
    onnx.checker.check_model(quantized, full_check=True)
    error = np.abs(run(quantized, pixels) - expected).max() / np.abs(expected).max()
    assert 1e-5 < error < 0.1


def test_the_layer_of_the_pixels_stays_in_float(calibration: Calibration) -> None:
    products = {
        product.name: product.numbers
        for product in find_products(quantize(dense_network(), "int8", calibration))
    }
    assert products == {"layer0": "float32", "layer1": "int8", "layer2": "int8"}


def test_layers_can_be_kept_in_float(calibration: Calibration) -> None:
    model = quantize(dense_network(), "int8", calibration, keep_float=["layer2"])
    products = {product.name: product.numbers for product in find_products(model)}
    assert products == {"layer0": "float32", "layer1": "int8", "layer2": "float32"}
    np.testing.assert_array_equal(constants(model)["kernel2"], KERNELS[2])


def test_a_layer_that_is_not_there_is_named_with_the_nearest(calibration: Calibration) -> None:
    with pytest.raises(UsageError, match=r"'layer22'.*Did you mean 'layer2'"):
        quantize(dense_network(), "int8", calibration, keep_float=["layer22"])


def test_weights_alone_are_rounded_and_nothing_else(calibration: Calibration) -> None:
    model = quantize(dense_network(), "weight-only-int8", calibration)
    held = constants(model)
    stored = [
        held[f"{name}/int8"].astype(np.float64) * held[f"{name}/scale"]
        for name in ("kernel0", "layer1/kernel_by_column", "kernel2")
    ]
    stored[1] = stored[1] / ALPHA  # which went into the stored kernel
    for kernel, rounded in zip(KERNELS, stored, strict=True):
        step = np.abs(kernel).max(axis=0) / 127
        assert (np.abs(rounded - kernel) < 4 * step).all()
    # The rest is float: the answers are those of the rounded kernels to seven digits.
    np.testing.assert_allclose(run(model, PICTURES), dense_answers(PICTURES, stored), atol=1e-5)


def test_int4_takes_the_layers_that_divide_into_blocks(
    calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int4_layers, "BUDGET", 1.0)
    model = quantize(dense_network(), "int4", calibration, images=PICTURES)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert {name for name, kind in types.items() if kind == TensorProto.INT4} == {
        "layer1/kernel_by_column/int4",
        "kernel2/int4",
    }
    arithmetic = sum_up(find_products(model))
    assert arithmetic["int4"].operators == 2
    assert arithmetic["int4"].bytes == (KERNELS[1].size + KERNELS[2].size) // 2
    kernels = list(KERNELS)
    held = constants(model)
    for index, name in ((1, "layer1/kernel_by_column"), (2, "kernel2")):
        block = len(kernels[index]) // len(held[f"{name}/scale"])
        scales = np.repeat(held[f"{name}/scale"], block, axis=0)
        kernels[index] = held[f"{name}/int4"].astype(np.float64) * scales
    kernels[1] = kernels[1] / ALPHA
    # What is left is the rounding of activations at run time.
    expected = dense_answers(PICTURES, kernels)
    error = np.abs(run(model, PICTURES) - expected).max() / np.abs(expected).max()
    assert error < 0.02


def test_large_layers_alone_are_int4_where_there_are_any(
    calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int4_layers, "BUDGET", 1.0)
    monkeypatch.setattr(int4_layers, "LARGE", KERNELS[1].size)
    model = quantize(dense_network(), "int4", calibration, images=PICTURES)
    products = {product.name: product.numbers for product in find_products(model)}
    # The first layer is as large; it takes the pixels, and stays in float.
    assert products == {"layer0": "float32", "layer1": "int4", "layer2": "int8"}


def test_the_layer_is_int4_that_costs_least(
    calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int4_layers, "BUDGET", 1.0)
    held = constants(quantize(dense_network(), "int4", calibration, images=PICTURES))

    def probabilities(kernels: list[np.ndarray]) -> np.ndarray:
        exponentials = np.exp(dense_answers(PICTURES, kernels))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))

    exact = probabilities(KERNELS)
    costs = {}
    for index, name in ((1, "layer1/kernel_by_column"), (2, "kernel2")):
        block = len(KERNELS[index]) // len(held[f"{name}/scale"])
        wide = held[f"{name}/int4"].astype(float) * np.repeat(held[f"{name}/scale"], block, axis=0)
        kernels = list(KERNELS)
        kernels[index] = wide / ALPHA if index == 1 else wide
        cost = np.mean(np.sum(exact * np.log(exact / probabilities(kernels)), axis=1))
        costs[f"layer{index}"] = float(cost) / KERNELS[index].size
    monkeypatch.setattr(int4_layers, "BUDGET", 0.0)
    model = quantize(dense_network(), "int4", calibration, images=PICTURES)
    int4 = [each.name for each in find_products(model) if each.numbers == "int4"]
    assert int4 == [min(costs, key=lambda name: costs[name])]


def test_int4_is_refused_where_the_opset_lacks_it(calibration: Calibration) -> None:
    with pytest.raises(UsageError, match="since opset 21, and this file's is 18"):
        quantize(dense_network(18), "int4", calibration, images=PICTURES)


def test_ranges_decide_the_steps_of_int8(calibration: Calibration) -> None:
    held = constants(quantize(dense_network(), "int8", calibration, cpu="vnni"))
    for name in ("x1", "x2"):
        found = calibration.activations[name]
        step = (max(found.high, 0) - min(found.low, 0)) / 255
        assert held[f"{name}_scale"] == pytest.approx(step, rel=1e-5)


def test_a_constant_activation_is_no_obstacle() -> None:
    model = dense_network()
    (bias,) = [tensor for tensor in model.graph.initializer if tensor.name == "bias0"]
    (kernel,) = [tensor for tensor in model.graph.initializer if tensor.name == "kernel0"]
    kernel.CopyFrom(numpy_helper.from_array(np.zeros_like(KERNELS[0]), "kernel0"))
    bias.CopyFrom(numpy_helper.from_array(np.zeros_like(BIASES[0]), "bias0"))
    calibration = calibrate_onnx(model, PICTURES, histograms=True, moments_up_to=64).ranged("mse")
    expected = run(model, PICTURES)
    np.testing.assert_allclose(
        run(quantize(model, "int8", calibration), PICTURES), expected, atol=0.02
    )


def test_an_activation_that_is_not_a_number_is_refused() -> None:
    model = dense_network()
    (bias,) = [tensor for tensor in model.graph.initializer if tensor.name == "bias1"]
    bias.CopyFrom(numpy_helper.from_array(np.full_like(BIASES[1], np.nan), "bias1"))
    with pytest.raises(InputError, match="x2 is not finite"):
        calibrate_onnx(model, PICTURES).ranged("minmax")


def test_convolutions_compute_in_integers_with_what_lies_between() -> None:
    model = convolution_network()
    calibration = calibrate_onnx(model, PICTURES)
    expected = run(model, PICTURES)
    quantized = quantize(model, "int8", calibration)
    onnx.checker.check_model(quantized, full_check=True)
    assert sum_up(find_products(quantized))["int8"].operators == 2
    error = np.abs(run(quantized, PICTURES) - expected).max() / np.abs(expected).max()
    assert error < 0.05


def test_a_model_without_weights_is_refused() -> None:
    model = dense_network()
    del model.graph.node[3:]
    with pytest.raises(InputError, match="no layer that can be quantized"):
        calibrate_onnx(model, PICTURES)


@pytest.mark.parametrize("subtract", [False, True])
def test_a_gemm_becomes_a_product_and_a_sum_with_the_same_answer(subtract: bool) -> None:
    model = dense_network()
    split_gemms(model, ["layer0", "layer1", "layer2"], subtract=subtract)
    kinds = [node.op_type for node in model.graph.node]
    assert "Gemm" not in kinds
    assert kinds.count("Sub" if subtract else "Add") == 2
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(run(model, PICTURES), dense_answers(PICTURES), atol=1e-5)


def test_statistics_are_those_of_numpy(calibration: Calibration) -> None:
    x = PICTURES.reshape(len(PICTURES), -1).astype(np.float64) / 255
    hidden = np.tanh(x @ KERNELS[0].astype(np.float64) + BIASES[0])
    for name, values in (("x0", x), ("x1", hidden)):
        found = calibration.activations[name]
        assert (found.low, found.high) == pytest.approx((values.min(), values.max()), abs=1e-6)
        assert found.variance == pytest.approx(values.var(), rel=1e-5)
        np.testing.assert_allclose(calibration.moments[name][0], values.T @ values, atol=1e-5)
