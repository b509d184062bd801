"""The last pass over LiteRT files."""

from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.support.litert_networks import PICTURES, litert_network
from tests.support.tiny_artifacts import tiny_manifest
from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.errors import InputError
from vitsd_export.exporters import litert_conformity
from vitsd_export.exporters.litert_conformity import conform
from vitsd_export.exporters.litert_metadata import classifier_metadata
from vitsd_export.quantization.litert.calibration import calibrate
from vitsd_export.quantization.litert.quantizer import quantize

NETWORKS: dict[str, Callable[[], bytes]] = {
    "float32": litert_network,
    "float16": lambda: quantize(litert_network(), bits=16, weight_only=True),
    "weight-only-int8": lambda: quantize(litert_network(), weight_only=True),
    "dynamic-int8": lambda: quantize(litert_network()),
    "int8": lambda: quantize(litert_network(), calibrate(litert_network(), PICTURES)),
}
# What TensorFlow's own table says: the version of each operator that the quantizer changes, and the
# oldest runtime. The network's other operators ask for 1.14.
VERSIONS = {
    "float32": ({}, "1.14.0"),
    "float16": ({"DEQUANTIZE": 3}, "1.15.0"),
    "weight-only-int8": ({"DEQUANTIZE": 5}, "2.7.0"),
    "dynamic-int8": ({"FULLY_CONNECTED": 12}, "2.17.0"),
    "int8": ({"QUANTIZE": 1, "DEQUANTIZE": 2, "FULLY_CONNECTED": 4}, "1.14.0"),
}


@pytest.fixture(params=NETWORKS)
def scheme(request: pytest.FixtureRequest) -> str:
    """A scheme of the network."""
    return str(request.param)


@pytest.fixture
def content(scheme: str) -> bytes:
    """The network in the scheme, as converter and quantizer leave it."""
    with quiet_converters():
        return NETWORKS[scheme]()


def read(content: bytes) -> Any:
    """A file's graph."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


def answers(content: bytes) -> np.ndarray:
    """What a file says of the pictures."""
    from ai_edge_litert.interpreter import Interpreter

    runtime = Interpreter(model_content=content)
    runtime.allocate_tensors()
    image, logits = runtime.get_input_details()[0], runtime.get_output_details()[0]
    rows = []
    for picture in PICTURES:
        runtime.set_tensor(image["index"], picture[None])
        runtime.invoke()
        rows.append(runtime.get_tensor(logits["index"])[0].copy())
    return np.stack(rows)


def test_the_answers_stay(content: bytes) -> None:
    np.testing.assert_array_equal(answers(conform(content)), answers(content))


def test_constants_lie_aligned_within_the_flatbuffer(content: bytes) -> None:
    model = schema.Model.GetRootAsModel(conform(content), 0)
    buffers = [model.Buffers(index) for index in range(model.BuffersLength())]
    assert {(buffer.Offset(), buffer.Size()) for buffer in buffers} == {(0, 0)}
    held = [buffer for buffer in buffers if buffer.DataLength()]
    assert len(held) > 4
    for buffer in held:
        field = flatbuffers.number_types.UOffsetTFlags.py_type(buffer._tab.Offset(4))
        assert buffer._tab.Vector(field) % 16 == 0


def test_operators_have_the_versions_that_their_operands_need(scheme: str, content: bytes) -> None:
    model = read(conform(content))
    expected, runtime = VERSIONS[scheme]
    found = {}
    for code in model.operatorCodes:
        assert code.deprecatedBuiltinCode == min(code.builtinCode, 127)
        found[code.builtinCode] = code.version
    for name, version in expected.items():
        assert found[getattr(schema.BuiltinOperator, name)] == version, name
    (told,) = (entry for entry in model.metadata if entry.name == b"min_runtime_version")
    assert bytes(model.buffers[told.buffer].data).rstrip(b"\0").decode() == runtime


def test_one_code_becomes_two_where_its_operators_need_different_versions() -> None:
    content = quantize(litert_network(), keep_float=["layer1a"])
    model = read(conform(content))
    number = schema.BuiltinOperator.FULLY_CONNECTED
    versions = [code.version for code in model.operatorCodes if code.builtinCode == number]
    assert sorted(versions)[-1] == 12
    assert len(versions) == 2
    np.testing.assert_array_equal(answers(conform(content)), answers(content))


def test_a_second_pass_changes_nothing(content: bytes) -> None:
    once = conform(content, classifier_metadata(tiny_manifest("tflite")))
    assert conform(once, classifier_metadata(tiny_manifest("tflite"))) == once


def test_the_metadata_is_in_the_file() -> None:
    metadata = classifier_metadata(tiny_manifest("tflite"))
    assert metadata[4:8] == b"M001"
    model = read(conform(litert_network(), metadata))
    (entry,) = (entry for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    assert bytes(model.buffers[entry.buffer].data) == metadata


def test_a_file_of_more_than_two_gigabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert_conformity, "_LARGEST_FILE", 1000)
    with pytest.raises(InputError, match=r"ends at 2 GB"):
        conform(litert_network())
