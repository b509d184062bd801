"""Writing .tflite files operator by operator, read back by LiteRT."""

import numpy as np

from tests.support.litert_runs import interpreter, run
from vitsd_export.quantization.litert.writer import LiteRTWriter

RNG = np.random.default_rng(3)


def dense_file(weights: np.ndarray, bias: np.ndarray, scales: np.ndarray) -> bytes:
    """int8 [5, inputs] in steps of 0.5 around 3, by int8 weights, to int8 in steps of 2 around -4."""
    writer = LiteRTWriter()
    outputs, inputs = weights.shape
    x = writer.tensor("x", (5, inputs), "int8", scale=0.5, zero_point=3)
    y = writer.tensor("y", (5, outputs), "int8", scale=2.0, zero_point=-4)
    held = writer.tensor("weights", weights.shape, "int8", scale=scales, values=weights)
    added = writer.tensor("bias", bias.shape, "int32", scale=scales * 0.5, values=bias)
    writer.operator(
        "FULLY_CONNECTED", [x, held, added], y, version=4, options="FullyConnectedOptions"
    )
    return writer.content({"x": x}, {"y": y})


def test_a_dense_layer_computes_what_numpy_does() -> None:
    weights = RNG.integers(-127, 128, (6, 9)).astype(np.int8)
    bias = RNG.integers(-500, 500, 6).astype(np.int32)
    scales = RNG.uniform(0.01, 0.03, 6).astype(np.float32)
    x = RNG.integers(-128, 128, (5, 9)).astype(np.int8)
    exact = ((x - 3.0) * 0.5) @ (
        weights * scales[:, None].astype(np.float64)
    ).T + bias * scales * 0.5
    wanted = np.clip(np.round(exact / 2) - 4, -128, 127)
    found = run(dense_file(weights, bias, scales), {"x": x})
    assert np.abs(found - wanted).max() <= 1
    assert (found == wanted).mean() > 0.9


def test_names_types_and_scales_are_in_the_file() -> None:
    content = dense_file(np.ones((4, 3), np.int8), np.zeros(4, np.int32), np.full(4, 0.25))
    details = {entry["name"]: entry for entry in interpreter(content).get_tensor_details()}
    assert details["x"]["quantization"] == (0.5, 3)
    assert details["weights"]["dtype"] == np.int8
    np.testing.assert_array_equal(
        details["weights"]["quantization_parameters"]["scales"], np.full(4, 0.25, np.float32)
    )
    assert details["weights"]["quantization_parameters"]["quantized_dimension"] == 0


def test_equal_constants_are_stored_once() -> None:
    values = RNG.integers(0, 99, 4096).astype(np.int32)

    def file_of(count: int) -> bytes:
        writer = LiteRTWriter()
        x = total = writer.tensor("x", (4096,), "int32")
        for number in range(count):
            constant = writer.tensor(f"constant{number}", (4096,), "int32", values=values)
            more = writer.tensor(f"sum{number}", (4096,), "int32")
            total = writer.operator("ADD", [total, constant], more, options="AddOptions")
        return writer.content({"x": x}, {"y": total})

    assert len(file_of(8)) < len(file_of(1)) + 8 * 1024
    x = np.arange(4096, dtype=np.int32)
    np.testing.assert_array_equal(run(file_of(8), {"x": x}), x + 8 * values)
