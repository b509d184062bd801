"""The last pass over every .tflite file: a header that is true for all runtimes, and official metadata.

Converters and quantizers leave headers that only the newest runtime reads as they are meant: constants
behind the flatbuffer, the one-byte operator code left at 0, versions of operators that their operands have
outgrown. Older runtimes read such a file without an error and give wrong answers. Here

- all constants move into the flatbuffer, 16-byte aligned, as the schema says;
- `deprecated_builtin_code` is `min(builtin_code, 127)`;
- each operator has the version that its operands need, so that a runtime that does not know it refuses the
  file;
- `min_runtime_version` is the newest of what the operators need.

The versions of operators and the runtimes that brought them are those of TensorFlow's
`lite/tools/versioning/op_version.cc` and `runtime_version.cc`, apart from those that a comment explains.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vitsd_export.errors import InputError

METADATA_NAME = b"TFLITE_METADATA"
_FILE_IDENTIFIER = b"TFL3"
_MINIMUM_RUNTIME = b"min_runtime_version"
# The size of its buffer in files of TensorFlow's converter.
_MINIMUM_RUNTIME_BYTES = 16
# The codes that the one-byte field holds; this one stands for "see the other field".
LAST_SHORT_CODE = 127
_ALIGNMENT = 16
# Offsets in a flatbuffer have 31 bits.
_LARGEST_FILE = 2**31 - 1

# The runtime that brought a version of an operator: of those that quantizers introduce, and those of
# `full-int8` files. What TensorFlow's converter wrote it has counted itself.
_RUNTIMES = {
    "ADD": {1: "1.5.0", 2: "1.14.0"},
    "BATCH_MATMUL": {1: "2.3.0", 2: "2.3.0"},
    "CAST": {1: "1.5.0"},
    "CONCATENATION": {1: "1.5.0", 2: "1.14.0"},
    "CONV_2D": {2: "1.14.0", 3: "1.14.0", 5: "2.4.0", 7: "2.11.0"},
    "DEPTHWISE_CONV_2D": {3: "1.14.0", 4: "2.2.0", 6: "2.3.0", 7: "2.11.0"},
    "DEQUANTIZE": {2: "1.14.0", 3: "1.15.0", 5: "2.7.0", 6: "2.18.0"},
    "EXP": {1: "1.7.0", 2: "2.12.0"},
    "FULLY_CONNECTED": {
        3: "1.14.0",
        4: "1.14.0",
        5: "2.0.0",
        6: "2.1.0",
        9: "2.3.0",
        10: "2.11.0",
        12: "2.17.0",
        14: "2.21.0",
    },
    "GATHER": {1: "1.6.0", 2: "1.14.0"},
    "GELU": {1: "2.9.0", 2: "2.9.0"},
    "MAXIMUM": {1: "1.14.0", 2: "1.14.0"},
    "MEAN": {1: "1.6.0", 2: "1.14.0"},
    "MINIMUM": {1: "1.14.0", 2: "1.14.0"},
    "MUL": {1: "1.5.0", 2: "1.14.0", 3: "1.15.0"},
    "PAD": {1: "1.5.0", 2: "1.14.0"},
    "QUANTIZE": {1: "1.14.0", 2: "1.15.0", 3: "2.7.0"},
    "REDUCE_MAX": {1: "1.11.0", 2: "1.14.0"},
    "RESHAPE": {1: "1.5.0"},
    "RESIZE_BILINEAR": {1: "1.7.0", 4: "2.5.0"},
    "RIGHT_SHIFT": {1: "2.13.0"},
    "SOFTMAX": {1: "1.5.0", 2: "1.14.0"},
    "STRIDED_SLICE": {1: "1.6.0", 2: "1.14.0"},
    "SUB": {1: "1.6.0", 2: "1.14.0"},
    "SUM": {1: "1.10.0", 2: "1.15.0"},
    "TRANSPOSE": {1: "1.6.0", 2: "1.14.0"},
}


def conform(content: bytes, metadata: bytes | None = None) -> bytes:
    """Returns a .tflite file with a header that is true for all runtimes.

    Args:
        content: The file.
        metadata: `TFLITE_METADATA` to put into it: see `litert_metadata`.

    Raises:
        InputError: If the file would be larger than a flatbuffer can be.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    _gather_constants(model, content)
    _set_operator_codes(model, schema)
    _set_minimum_runtime(model, schema)
    if metadata is not None:
        _set_metadata(model, schema, METADATA_NAME, metadata)
    return pack(model)


def pack(model: Any) -> bytes:
    """Returns the file of a `ModelT`, its constants 16-byte aligned.

    Raises:
        InputError: If it would be larger than a flatbuffer can be.
    """
    import flatbuffers

    class AlignedBuilder(flatbuffers.Builder):
        """Aligns the content of buffers: Python's generated classes do not know `force_align`."""

        def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802  flatbuffers' name
            if x.dtype == np.uint8:
                self.Prep(_ALIGNMENT, x.size)
            return int(super().CreateNumpyVector(x))

    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    if size > _LARGEST_FILE:
        raise InputError(
            f"The LiteRT file would hold {size / 1e9:.1f} GB of constants; a .tflite file ends at 2 GB. "
            "Use a scheme with fewer bits, or ONNX."
        )
    builder = AlignedBuilder(size + 4096)
    builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
    return bytes(builder.Output())


def _gather_constants(model: Any, content: bytes) -> None:
    for buffer in model.buffers:
        # 0 and 1 stand for data within the flatbuffer.
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0


def _set_operator_codes(model: Any, schema: Any) -> None:
    """Gives each operator the version that its operands need, and codes that every runtime reads."""
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}
    old = model.operatorCodes
    new: dict[tuple[int, Any, int], int] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = old[operator.opcodeIndex]
            number = max(code.builtinCode, code.deprecatedBuiltinCode)
            operands = _operands(graph.tensors, operator)
            needed = required_version(
                names.get(number, ""), *operands, operator.builtinOptions, schema
            )
            key = (number, code.customCode, max(code.version, needed))
            operator.opcodeIndex = new.setdefault(key, len(new))
    model.operatorCodes = []
    for number, custom, version in new:
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode = number, min(number, LAST_SHORT_CODE)
        entry.customCode, entry.version = custom, version
        model.operatorCodes.append(entry)


def _operands(tensors: Sequence[Any], operator: Any) -> tuple[list[Any], list[Any]]:
    # -1 stands for an input that is left out.
    inputs = [tensors[index] if index >= 0 else None for index in operator.inputs]
    return inputs, [tensors[index] for index in operator.outputs]


def required_version(
    name: str, inputs: Sequence[Any], outputs: Sequence[Any], options: Any, schema: Any
) -> int:
    """Returns the version that an operator's operands need; 1 for operators that no quantizer changes.

    Args:
        name: The operator's name in the schema.
        inputs: `TensorT` of each input, None for one left out.
        outputs: `TensorT` of each output.
        options: The operator's options.
        schema: The schema's generated module.
    """
    types = schema.TensorType
    if name == "QUANTIZE":
        if _by_channel(outputs[0]):
            return 3
        return 2 if outputs[0].type == types.INT16 else 1
    if name == "DEQUANTIZE":
        stored = inputs[0].type
        if stored == types.INT8:
            return 5 if _by_channel(inputs[0]) else 2
        return {types.INT16: 3, types.FLOAT16: 3, types.INT4: 6}.get(stored, 1)
    if name not in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"):
        return 1
    image, weights = inputs[0].type, inputs[1].type
    if weights == types.FLOAT32:
        return 1
    hybrid = image == types.FLOAT32
    by_channel = _by_channel(inputs[1])
    if name == "CONV_2D":
        if weights == types.INT4:
            return 7
        return (5 if by_channel else 2) if hybrid else 3
    if name == "DEPTHWISE_CONV_2D":
        if weights == types.INT4:
            return 7
        return (6 if by_channel else 4) if hybrid else 3
    if weights == types.INT4:
        # TensorFlow asks for nothing more where blocks have scales of their own. The kernels that stop at
        # version 13 (LiteRT 1.4) do not read these.
        return 14 if inputs[1].quantization.details is not None else 10
    if hybrid:
        if by_channel:
            return 12
        return 9 if options.asymmetricQuantizeInputs else 3
    if len(inputs) == 2:
        return 6
    return 5 if options.keepNumDims else 4


def _by_channel(tensor: Any) -> bool:
    quantization = tensor.quantization
    return (
        quantization is not None and quantization.scale is not None and len(quantization.scale) > 1
    )


def _set_minimum_runtime(model: Any, schema: Any) -> None:
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}
    versions = [_read_minimum_runtime(model)]
    for code in model.operatorCodes:
        versions.append(_RUNTIMES.get(names.get(code.builtinCode, ""), {}).get(code.version, ""))
    newest = max(filter(None, versions), key=_numbers, default="")
    if newest:
        _set_metadata(
            model, schema, _MINIMUM_RUNTIME, newest.encode().ljust(_MINIMUM_RUNTIME_BYTES, b"\0")
        )


def _read_minimum_runtime(model: Any) -> str:
    for entry in model.metadata or ():
        if entry.name == _MINIMUM_RUNTIME:
            return bytes(model.buffers[entry.buffer].data).rstrip(b"\0").decode()
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _set_metadata(model: Any, schema: Any, name: bytes, content: bytes) -> None:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    for entry in model.metadata or ():
        if entry.name == name:
            model.buffers[entry.buffer] = buffer
            return
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or ()), entry]
