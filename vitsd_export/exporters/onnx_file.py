"""Writes ONNX files whose weights never pass through protobuf.

A weight in a protobuf message is copied when it is put there, when the message is serialized, and by every
check that serializes it again. Here the graph goes through protobuf without its large weights, which then
follow in the encoding of `TensorProto`, straight from their arrays to the file
(https://protobuf.dev/programming-guides/encoding/).
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from vitsd_export.errors import InputError

# Larger weights are kept out of messages.
LARGE_BYTES = 64 * 1024

# A file beyond this is refused by every protobuf parser.
_LIMIT = 2**31 - 1

_GRAPH = onnx.ModelProto.DESCRIPTOR.fields_by_name["graph"].number
_INITIALIZER = onnx.GraphProto.DESCRIPTOR.fields_by_name["initializer"].number
_RAW_DATA = TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number
_LENGTH_DELIMITED = 2


@dataclasses.dataclass(frozen=True)
class OnnxGraph:
    """An ONNX graph, its float32 weights apart.

    Attributes:
        nodes: In an order in which they can run.
        constants: What is small or is not to be stored in half precision, as initializers.
        weights: The other initializers, by name.
    """

    nodes: list[onnx.NodeProto]
    constants: list[TensorProto]
    weights: dict[str, np.ndarray]


def write_model(model: onnx.ModelProto, weights: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes a model that lacks the float32 or float16 initializers `weights`, which its nodes may use.

    Raises:
        InputError: If the file would be larger than 2 GB, or the model is no valid ONNX.
    """
    _check(model, weights)
    headers = {name: _header(name, values) for name, values in weights.items()}
    graph = model.graph.SerializeToString()
    length = len(graph) + sum(
        len(headers[name]) + values.nbytes for name, values in weights.items()
    )
    shell = onnx.ModelProto()
    shell.CopyFrom(model)
    shell.ClearField("graph")
    start = shell.SerializeToString() + _tag(_GRAPH, length)
    if len(start) + length > _LIMIT:
        raise InputError("The model is larger than 2 GB, the limit of an ONNX file.")
    with path.open("wb") as file:
        file.write(start)
        file.write(graph)
        for name, values in weights.items():
            file.write(headers[name])
            file.write(np.ascontiguousarray(values).data)


def append_metadata(path: Path, properties: Mapping[str, str]) -> None:
    """Adds metadata_props to a file that has none of these names.

    A protobuf message may be continued: the entries of a repeated field need not lie together.
    """
    addition = onnx.ModelProto()
    helper.set_model_props(addition, dict(properties))
    with path.open("ab") as file:
        file.write(addition.SerializeToString())


def _check(model: onnx.ModelProto, weights: Mapping[str, np.ndarray]) -> None:
    """Checks a model with the weights it lacks standing among its inputs."""
    complete = onnx.ModelProto()
    complete.CopyFrom(model)
    complete.graph.input.extend(
        helper.make_tensor_value_info(name, _element_type(values), values.shape)
        for name, values in weights.items()
    )
    try:
        onnx.checker.check_model(complete, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise InputError(
            f"The model converts to an invalid ONNX graph: {error}. Try another --opset."
        ) from error


def _header(name: str, values: np.ndarray) -> bytes:
    """Returns the bytes of an initializer up to its numbers."""
    tensor = TensorProto(name=name, data_type=_element_type(values), dims=values.shape)
    start: bytes = tensor.SerializeToString() + _tag(_RAW_DATA, values.nbytes)
    return _tag(_INITIALIZER, len(start) + values.nbytes) + start


def _element_type(values: np.ndarray) -> int:
    return int(helper.np_dtype_to_tensor_dtype(values.dtype))


def _tag(field: int, length: int) -> bytes:
    """Returns what comes before a field of so many bytes."""
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(number: int) -> bytes:
    groups = []
    while True:
        number, group = number >> 7, number & 0x7F
        groups.append(group | 0x80 if number else group)
        if not number:
            return bytes(groups)
