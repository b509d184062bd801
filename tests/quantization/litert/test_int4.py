"""int4 weights in .tflite files, read back by LiteRT and against NumPy."""

import functools
import itertools
from typing import Any

import numpy as np
import pytest

from tests.support.litert_runs import run_images
from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.errors import InputError, UsageError
from vitsd_export.quantization import int4_layers
from vitsd_export.quantization.calibration.ranges import Calibration
from vitsd_export.quantization.litert import int4 as litert_int4
from vitsd_export.quantization.litert.calibration import calibrate
from vitsd_export.quantization.litert.int4 import int4_candidates, quantize_int4

RNG = np.random.default_rng(21)
SIZE = 8
PICTURES = RNG.integers(0, 256, (40, SIZE, SIZE, 3), dtype=np.uint8)
# Neighbouring pixels hang together, as those of photographs do.
PICTURES[:, 1::2] = PICTURES[:, ::2] // 8 * 7 + PICTURES[:, 1::2] // 8
WIDTHS = (SIZE * SIZE * 3, 64, 33, 5)
OUTPUTS = ("dense0", "dense1", "dense2")
WEIGHTS = tuple(
    RNG.normal(0, rows**-0.5, (rows, columns)).astype(np.float32)
    for rows, columns in itertools.pairwise(WIDTHS)
)


def outputs(weights: tuple[np.ndarray, ...], pictures: np.ndarray) -> np.ndarray:
    """What layers of these weights answer in float64, with tanh between them."""
    x = pictures.reshape(len(pictures), -1).astype(np.float64) / 128 - 1
    for number, kernel in enumerate(weights):
        x = (np.tanh(x) if number else x) @ kernel.astype(np.float64)
    return np.asarray(x)


@functools.cache
def network() -> bytes:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([1, SIZE, SIZE, 3], tf.uint8, "image")])
    def serve(image: Any) -> Any:
        x = tf.reshape(tf.cast(image, tf.float32) / 128.0 - 1.0, [1, -1])
        for number, kernel in enumerate(WEIGHTS):
            x = tf.matmul(tf.tanh(x) if number else x, tf.constant(kernel), name=f"dense{number}")
        return {"logits": x}

    with quiet_converters():
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [serve.get_concrete_function()], tf.Module()
        )
        return bytes(converter.convert())


@functools.cache
def calibration(names: tuple[str, ...]) -> Calibration:
    return calibrate(network(), PICTURES, moments_of=names)


def quantized(**options: Any) -> bytes:
    with quiet_converters():
        candidates = int4_candidates(network())
        moments = calibration(tuple(layer.output for layer in candidates))
        content, names = quantize_int4(network(), candidates, moments, PICTURES, **options)
    layers = [
        name for name, kernel in zip(OUTPUTS, stored(content), strict=True) if kernel is not None
    ]
    # Some versions of the converter put a 1 behind names that they find taken.
    assert sorted(layers) == sorted(name[: len(OUTPUTS[0])] for name in names)
    return content


def stored(content: bytes) -> list[np.ndarray | None]:
    """Weights of the dense layers of a file, [inputs, outputs]; None for those that are not int4."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]

    def data(tensor: Any) -> np.ndarray:
        buffer = model.buffers[tensor.buffer]
        if buffer.data is None:
            return np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
        return np.asarray(buffer.data, np.uint8)

    found: list[np.ndarray | None] = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if code != schema.BuiltinOperator.FULLY_CONNECTED:
            continue
        tensor = graph.tensors[operator.inputs[1]]
        if tensor.type != schema.TensorType.INT4:
            found.append(None)
            continue
        halves = np.stack([data(tensor) & 15, data(tensor) >> 4], axis=1).ravel().astype(np.int8)
        integers = np.where(halves > 7, halves - 16, halves).reshape(tensor.shape)
        details = tensor.quantization.details
        scales = data(graph.tensors[details.scales]).view(np.float16).astype(np.float64)
        scales = scales.reshape(len(integers), -1)
        found.append((integers * np.repeat(scales, details.blockSize, axis=1)).T)
    return found


@pytest.fixture
def all_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int4_layers, "BUDGET", 1.0)


@pytest.mark.usefixtures("all_that_can")
def test_the_file_computes_with_the_weights_that_are_in_it() -> None:
    content = quantized()
    first, second, third = stored(content)
    assert first is not None
    assert second is not None
    # 33 inputs are no multiple of a block.
    assert third is None
    held = (first, second, WEIGHTS[2])
    found = run_images(content, PICTURES)
    error = np.abs(found - outputs(held, PICTURES)).max()
    # What is left is the rounding of activations and of the last layer's weights to int8.
    assert error < 0.02 * np.abs(found).max()
    assert error < 0.3 * np.abs(found - outputs(WEIGHTS, PICTURES)).max()


@pytest.mark.usefixtures("all_that_can")
def test_answers_change_less_than_by_rounding_to_the_nearest() -> None:
    first = stored(quantized())[0]
    assert first is not None
    blocks = WEIGHTS[0].reshape(-1, 32, WIDTHS[1])
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 7
    nearest = (np.round(blocks / scale) * scale).reshape(WEIGHTS[0].shape)
    exact = outputs(WEIGHTS[:1], PICTURES)
    ours, theirs = (
        np.square(outputs((kernel,), PICTURES) - exact).mean() for kernel in (first, nearest)
    )
    assert ours < 0.5 * theirs


def test_layers_are_int4_whose_rounding_costs_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int4_layers, "BUDGET", 1.0)
    first, second, _ = stored(quantized())
    assert first is not None
    assert second is not None

    def probabilities(*weights: np.ndarray) -> np.ndarray:
        logits = outputs(weights, PICTURES)
        exponentials = np.exp(logits)
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))

    def nats(p: np.ndarray, q: np.ndarray) -> float:
        return float(np.mean(np.sum(p * np.log(p / q), axis=1)))

    exact = probabilities(*WEIGHTS)
    costs = [
        nats(exact, probabilities(first, *WEIGHTS[1:])),
        nats(exact, probabilities(WEIGHTS[0], second, WEIGHTS[2])),
    ]
    information = nats(exact, exact.mean(axis=0, keepdims=True))
    a_weight = [cost / kernel.size for cost, kernel in zip(costs, WEIGHTS, strict=False)]
    cheap = int(np.argmin(a_weight))
    for budget, expected in (
        (0.0, {cheap}),
        (0.97 * sum(costs) / information, {cheap}),
        (1.03 * sum(costs) / information, {0, 1}),
    ):
        monkeypatch.setattr(int4_layers, "BUDGET", budget)
        kernels = stored(quantized())
        assert {number for number, kernel in enumerate(kernels) if kernel is not None} == expected


def test_where_there_are_large_layers_only_they_are_int4(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (int4_layers, litert_int4):
        monkeypatch.setattr(module, "LARGE", WEIGHTS[0].size)
    monkeypatch.setattr(litert_int4, "_LARGE_BLOCK", 64)
    monkeypatch.setattr(int4_layers, "BUDGET", 1.0)
    first, *others = stored(quantized())
    assert first is not None
    assert others == [None, None]


@pytest.mark.usefixtures("all_that_can")
def test_layers_can_be_kept_in_float() -> None:
    first, *others = stored(quantized(keep_float=["dense0"]))
    assert first is None
    assert others[0] is not None
    with pytest.raises(UsageError, match="dense7"):
        quantized(keep_float=["dense7"])


def test_nothing_that_can_be_int4_is_refused() -> None:
    with pytest.raises(InputError, match=r"multiple of 32 inputs.*int8"):
        quantized(keep_float=["dense0", "dense1"])
