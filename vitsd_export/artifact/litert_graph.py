"""Reads the graph of a .tflite file without an interpreter and without TensorFlow."""

import math
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vitsd_export.artifact.damage import unusable
from vitsd_export.artifact.graph_summary import (
    Constant,
    GraphSummary,
    Node,
    by_falling_number,
    count_parameters,
    group_weights,
)
from vitsd_export.artifact.macs import Product
from vitsd_export.artifact.tensor_info import TensorInfo

_SIGNATURE = b"serving_default"
_MINIMUM_RUNTIME = b"min_runtime_version"
_WEIGHTED = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")
_OF_ACTIVATIONS = "BATCH_MATMUL"


def read_litert_graph(path: Path) -> GraphSummary:
    """Returns what a .tflite file that `check_litert_file` let pass is made of.

    Raises:
        InputError: If the file's layout is damaged.
    """
    try:
        return _summarize(path.read_bytes())
    except OSError as error:
        raise unusable(path, f"it cannot be read ({error.strerror or error})") from error
    except (struct.error, ValueError, TypeError, LookupError, AttributeError) as error:
        raise unusable(path, f"its layout is damaged ({error})") from error


def _summarize(content: bytes) -> GraphSummary:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    dtypes = {code: name.lower() for name, code in vars(schema.TensorType).items()}
    ops, custom = [], []
    for code in model.operatorCodes or ():
        # Old files keep the number in a byte of its own, which new ones fill with a placeholder.
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        if number == schema.BuiltinOperator.CUSTOM:
            ops.append(_text(code.customCode or b"CUSTOM"))
            custom.append(ops[-1])
        else:
            ops.append(names.get(number, f"BUILTIN_{number}"))
    if not model.subgraphs:
        raise ValueError("there is no graph")
    main = model.subgraphs[0]
    used = [ops[each.opcodeIndex] for graph in model.subgraphs for each in graph.operators or ()]
    inputs, outputs = _ports(model, dtypes)
    constants = list(_constants(model, dtypes))
    return GraphSummary(
        inputs=inputs,
        outputs=outputs,
        ops=by_falling_number(used),
        custom_ops=tuple(sorted(set(custom) & set(used))),
        versions={"schema": int(model.version), **_minimum_runtime(model)},
        weights=group_weights(constants),
        parameters=count_parameters(constants),
        nodes=tuple(_nodes(main, ops)),
        products=tuple(_products(model, main, ops, dtypes)),
    )


def _text(name: bytes | None) -> str:
    return (name or b"").decode(errors="replace")


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(map(int, () if tensor.shape is None else tensor.shape))


def _size(buffer: Any) -> int:
    # Files over 2 GB keep the data behind the graph, at an offset; 1 stands for "not there".
    return int(buffer.size) if buffer.size > 1 else len(() if buffer.data is None else buffer.data)


def _nodes(graph: Any, ops: list[str]) -> Iterator[Node]:
    def tensors(indices: Iterable[int] | None) -> tuple[str, ...]:
        # -1 stands for an input that is left out.
        return tuple(
            _text(graph.tensors[index].name) if index >= 0 else ""
            for index in (() if indices is None else indices)
        )

    for operator in graph.operators or ():
        outputs = tensors(operator.outputs)
        name = outputs[0] if outputs else ""
        yield Node(name, ops[operator.opcodeIndex], tensors(operator.inputs), outputs)


def _info(tensor: Any, name: bytes | None, dtypes: dict[int, str]) -> TensorInfo:
    sizes: tuple[int | None, ...] = _shape(tensor)
    if tensor.shapeSignature is not None and len(tensor.shapeSignature):
        sizes = tuple(None if size < 0 else int(size) for size in tensor.shapeSignature)
    return TensorInfo(_text(name), dtypes[tensor.type], sizes)


def _ports(
    model: Any, dtypes: dict[int, str]
) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """Returns inputs and outputs, under the signature's names, which apps use, if there is one."""
    graph = model.subgraphs[0]
    named: tuple[list[tuple[Any, bytes | None]], ...] = tuple(
        [(graph.tensors[index], graph.tensors[index].name) for index in indices]
        for indices in (graph.inputs, graph.outputs)
    )
    if model.signatureDefs:
        signatures = model.signatureDefs
        first = min(signatures, key=lambda signature: signature.signatureKey != _SIGNATURE)
        tensors = model.subgraphs[first.subgraphIndex].tensors
        named = tuple(
            [(tensors[entry.tensorIndex], entry.name) for entry in entries or ()]
            for entries in (first.inputs, first.outputs)
        )
    inputs, outputs = (
        tuple(_info(tensor, name, dtypes) for tensor, name in side) for side in named
    )
    return inputs, outputs


def _constants(model: Any, dtypes: dict[int, str]) -> Iterator[Constant]:
    # Tensors may share a buffer, which is in the file once.
    seen = set()
    for graph in model.subgraphs:
        for tensor in graph.tensors or ():
            size = _size(model.buffers[tensor.buffer])
            if size and tensor.buffer not in seen:
                seen.add(tensor.buffer)
                dtype, scales = dtypes[tensor.type], tensor.quantization
                quantized = scales is not None and scales.scale is not None and len(scales.scale)
                yield Constant(dtype, _shape(tensor), size, "float" in dtype or bool(quantized))


def _minimum_runtime(model: Any) -> dict[str, str]:
    for entry in model.metadata or ():
        if entry.name == _MINIMUM_RUNTIME:
            version = _text(bytes(model.buffers[entry.buffer].data).rstrip(b"\0"))
            return {"min_runtime_version": version} if version else {}
    return {}


def _products(model: Any, graph: Any, ops: list[str], dtypes: dict[int, str]) -> Iterator[Product]:
    """Yields the products of a graph, and whether they are computed in integers."""
    operators, tensors = graph.operators or (), graph.tensors
    images = (*_shape(tensors[graph.inputs[0]]), 1)[0]
    widened = {
        operator.outputs[0]: operator.inputs[0]
        for operator in operators
        if ops[operator.opcodeIndex] == "DEQUANTIZE"
    }
    for operator in operators:
        op = ops[operator.opcodeIndex]
        if op not in (*_WEIGHTED, _OF_ACTIVATIONS):
            continue
        left, right = (tensors[index] for index in operator.inputs[:2])
        answer = tensors[operator.outputs[0]]
        numbers = dtypes[right.type]
        if numbers == "float16":
            numbers = "float32"
        # Weights that are widened first are stored elsewhere.
        held = tensors[widened.get(operator.inputs[1], operator.inputs[1])]
        multiply_adds = _multiply_adds(op, _shape(left), _shape(right), _shape(answer))
        yield Product(
            _text(answer.name),
            numbers,
            multiply_adds // max(images, 1),
            _size(model.buffers[held.buffer]),
        )


def _multiply_adds(
    op: str, left: tuple[int, ...], right: tuple[int, ...], answer: tuple[int, ...]
) -> int:
    if op == "CONV_2D":
        return math.prod(answer) * math.prod(right[1:])
    if op == "DEPTHWISE_CONV_2D":
        return math.prod(answer) * math.prod(right[1:3])
    if op == _OF_ACTIVATIONS:
        # Rows times columns times what is summed over, whichever side is transposed.
        return math.prod(answer) * (math.prod(left) // math.prod(answer[:-1]))
    return math.prod(answer) * right[1]
