"""Telling files of integers alone from others."""

from tests.support.litert_networks import litert_network
from vitsd_export.artifact.integer_only import float_tensors
from vitsd_export.quantization.litert.writer import LiteRTWriter


def test_a_float_file_names_its_operators() -> None:
    found = float_tensors(litert_network())
    assert any(entry.startswith("FULLY_CONNECTED of ") for entry in found)
    assert any(entry.startswith("CAST of ") for entry in found)


def test_a_file_of_integers_has_none() -> None:
    writer = LiteRTWriter()
    x, y = (writer.tensor(name, (3,), "int32") for name in "xy")
    writer.operator("ADD", [x, x], y, options="AddOptions")
    assert float_tensors(writer.content({"x": x}, {"y": y})) == ()


def test_one_float_between_integers_is_found() -> None:
    writer = LiteRTWriter()
    x, y = (writer.tensor(name, (3,), "int8", scale=0.1) for name in "xy")
    middle = writer.tensor("middle", (3,), "float32")
    writer.operator("DEQUANTIZE", [x], middle, version=2)
    writer.operator("QUANTIZE", [middle], y)
    found = float_tensors(writer.content({"x": x}, {"y": y}))
    assert found == ("DEQUANTIZE of middle", "QUANTIZE of y")


def test_a_float_port_counts() -> None:
    writer = LiteRTWriter()
    x = writer.tensor("x", (3,), "float32")
    assert float_tensors(writer.content({"x": x}, {"y": x})) == ("x", "x")
