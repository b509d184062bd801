"""Writes .tflite files operator by operator.

The format is the FlatBuffers schema of LiteRT (`schema.fbs`), in the Python classes that ai-edge-litert
brings with it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vitsd_export.exporters.litert_conformity import LAST_SHORT_CODE, pack

_SCHEMA_VERSION = 3
_SIGNATURE = b"serving_default"


class LiteRTWriter:
    """Collects tensors and operators of one graph."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._types = {
            np.dtype(name): getattr(schema.TensorType, name.upper())
            for name in ("int8", "uint8", "int16", "int32", "float32")
        }
        self._buffers: list[Any] = [schema.BufferT()]
        self._buffer_of_content: dict[bytes, int] = {}
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[int, int], int] = {}

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        *,
        scale: float | np.ndarray | None = None,
        zero_point: int = 0,
        values: np.ndarray | None = None,
    ) -> int:
        """Adds a tensor and returns its index.

        Args:
            name: Its name.
            shape: Its shape.
            dtype: NumPy's name of its element type.
            scale: Step of its integers; an array [shape[0]] for one each slice of the first axis. None
                for plain integers.
            zero_point: The integer that stands for zero.
            values: What it holds, if it is a constant. Equal constants are stored once.
        """
        schema = self._schema
        tensor = schema.TensorT()
        tensor.name = name.encode()
        tensor.shape = [int(size) for size in shape]
        tensor.type = self._types[np.dtype(dtype)]
        tensor.buffer = 0 if values is None else self._buffer(values.astype(dtype))
        if scale is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale = np.atleast_1d(np.asarray(scale, np.float32))
            quantization.zeroPoint = np.full(quantization.scale.shape, zero_point, np.int64)
            quantization.quantizedDimension = 0
            tensor.quantization = quantization
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _buffer(self, values: np.ndarray) -> int:
        content = values.tobytes()
        key = hashlib.sha256(content).digest()
        if key not in self._buffer_of_content:
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(content, np.uint8)
            self._buffers.append(buffer)
            self._buffer_of_content[key] = len(self._buffers) - 1
        return self._buffer_of_content[key]

    def operator(
        self,
        name: str,
        inputs: Sequence[int],
        output: int,
        *,
        version: int = 1,
        options: str | None = None,
        **values: Any,
    ) -> int:
        """Adds an operator and returns `output`.

        Args:
            name: Its name in the schema, such as `FULLY_CONNECTED`.
            inputs: Indices of its inputs; -1 for one left out.
            output: Index of its output.
            version: The version of the operator that the runtime must know.
            options: Name of its options in the schema, such as `FullyConnectedOptions`.
            **values: Fields of the options that are not the default.
        """
        schema = self._schema
        operator = schema.OperatorT()
        key = (getattr(schema.BuiltinOperator, name), version)
        operator.opcodeIndex = self._codes.setdefault(key, len(self._codes))
        operator.inputs = list(inputs)
        operator.outputs = [output]
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for field, value in values.items():
                setattr(operator.builtinOptions, field, value)
        self._operators.append(operator)
        return output

    def content(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> bytes:
        """Returns the file, with a signature `serving_default` that has these names and tensors."""
        schema = self._schema
        graph = schema.SubGraphT()
        graph.name = b"main"
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = list(inputs.values()), list(outputs.values())
        signature = schema.SignatureDefT()
        signature.signatureKey = _SIGNATURE
        signature.inputs = [self._entry(*item) for item in inputs.items()]
        signature.outputs = [self._entry(*item) for item in outputs.items()]
        model = schema.ModelT()
        model.version = _SCHEMA_VERSION
        model.description = b"vitsd-export"
        model.subgraphs, model.buffers, model.signatureDefs = [graph], self._buffers, [signature]
        model.operatorCodes = [self._operator_code(*key) for key in self._codes]
        return pack(model)

    def _entry(self, name: str, index: int) -> Any:
        entry = self._schema.TensorMapT()
        entry.name = name.encode()
        entry.tensorIndex = index
        return entry

    def _operator_code(self, code: int, version: int) -> Any:
        operator_code = self._schema.OperatorCodeT()
        operator_code.builtinCode = code
        operator_code.deprecatedBuiltinCode = min(code, LAST_SHORT_CODE)
        operator_code.version = version
        return operator_code
