"""Reads the graph of an ONNX file without running it."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitsd_export._internal.messages import first_line
from vitsd_export.artifact.damage import unreadable_manifest, unusable
from vitsd_export.artifact.graph_summary import (
    Constant,
    GraphSummary,
    Node,
    by_falling_number,
    count_parameters,
    group_weights,
)
from vitsd_export.artifact.manifest import Manifest, parse_onnx_manifest
from vitsd_export.artifact.onnx_macs import find_products
from vitsd_export.artifact.tensor_info import TensorInfo
from vitsd_export.errors import InputError

_STANDARD_DOMAINS = ("", "ai.onnx")


def read_onnx_graph(path: Path) -> tuple[GraphSummary, Manifest | None]:
    """Returns what an ONNX file is made of, and the manifest inside it.

    Weights kept in files beside it are counted but not read.

    Raises:
        InputError: If the file is truncated, damaged or not ONNX, or its manifest cannot be read.
    """
    import onnx
    from google.protobuf.message import DecodeError

    errors = (
        DecodeError,
        onnx.checker.ValidationError,
        ValueError,
        TypeError,
        KeyError,
        RuntimeError,
    )
    try:
        model = onnx.load(str(path), load_external_data=False)
        # The path and not the model, so that weights beside the file are found.
        onnx.checker.check_model(str(path))
        summary = _summarize(model, onnx)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
    except OSError as error:
        raise unusable(path, f"it cannot be read ({error.strerror or error})") from error
    except errors as error:
        reason = first_line(error).rstrip(".")
        raise unusable(path, f"it is truncated, damaged or not an ONNX file ({reason})") from error
    try:
        return summary, parse_onnx_manifest(metadata)
    except InputError as error:
        raise unreadable_manifest(path, error) from error


def _summarize(model: Any, onnx: Any) -> GraphSummary:
    graphs = [model.graph, *_subgraphs(model.graph.node, onnx)]
    nodes = [node for graph in graphs for node in graph.node]
    for function in model.functions:
        nodes += function.node
        nodes += [node for graph in _subgraphs(function.node, onnx) for node in graph.node]
    names = [_op_name(node) for node in nodes]
    foreign = {_op_name(node) for node in nodes if node.domain not in _STANDARD_DOMAINS}
    weight_names = {tensor.name for tensor in model.graph.initializer}
    # Before IR version 4 weights were listed among the inputs.
    inputs = [value for value in model.graph.input if value.name not in weight_names]
    versions: dict[str, int | str] = {"ir_version": int(model.ir_version)}
    for opset in model.opset_import:
        standard = opset.domain in _STANDARD_DOMAINS
        versions["opset" if standard else f"opset {opset.domain}"] = int(opset.version)
    if model.producer_name:
        versions["producer"] = f"{model.producer_name} {model.producer_version}".strip()
    constants = list(_constants(graphs, nodes, onnx))
    return GraphSummary(
        inputs=tuple(_info(value, onnx) for value in inputs),
        outputs=tuple(_info(value, onnx) for value in model.graph.output),
        ops=by_falling_number(names),
        custom_ops=tuple(sorted(foreign)),
        versions=versions,
        weights=group_weights(constants),
        parameters=count_parameters(constants),
        nodes=tuple(
            Node(node.name, _op_name(node), tuple(node.input), tuple(node.output))
            for node in model.graph.node
        ),
        products=tuple(find_products(model, onnx)),
    )


def _op_name(node: Any) -> str:
    standard = node.domain in _STANDARD_DOMAINS
    return node.op_type if standard else f"{node.domain}.{node.op_type}"


def _subgraphs(nodes: Any, onnx: Any) -> Iterator[Any]:
    """Yields the bodies of If, Loop and Scan, and what is nested in them."""
    for node in nodes:
        for attribute in node.attribute:
            bodies = list(attribute.graphs)
            if attribute.type == onnx.AttributeProto.GRAPH:
                bodies.append(attribute.g)
            for body in bodies:
                yield body
                yield from _subgraphs(body.node, onnx)


def _dtype_name(element_type: int, onnx: Any) -> str:
    if element_type == onnx.TensorProto.STRING:
        return "string"
    return str(onnx.helper.tensor_dtype_to_np_dtype(element_type).name)


def _info(value: Any, onnx: Any) -> TensorInfo:
    tensor = value.type.tensor_type
    sizes = tuple(
        int(size.dim_value) if size.HasField("dim_value") else None for size in tensor.shape.dim
    )
    return TensorInfo(value.name, _dtype_name(tensor.elem_type, onnx), sizes)


def _constants(graphs: list[Any], nodes: list[Any], onnx: Any) -> Iterator[Constant]:
    tensors = [tensor for graph in graphs for tensor in graph.initializer]
    for node in nodes:
        if node.op_type == "Constant":
            tensors += [
                item.t for item in node.attribute if item.type == onnx.AttributeProto.TENSOR
            ]
    for tensor in tensors:
        dtype = _dtype_name(tensor.data_type, onnx)
        shape = tuple(tensor.dims)
        # Shapes, axes and pads are int64 throughout; int32 is the type of quantized biases.
        is_weight = dtype not in ("int64", "bool", "string")
        yield Constant(dtype, shape, _bytes(tensor, dtype, shape, onnx), is_weight)


def _bytes(tensor: Any, dtype: str, shape: tuple[int, ...], onnx: Any) -> int:
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data)
    if dtype == "string":
        return sum(len(text) for text in tensor.string_data)
    packed = {"int4": 2, "uint4": 2, "int2": 4, "uint2": 4}
    if dtype in packed:
        return math.ceil(math.prod(shape) / packed[dtype])
    item = int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    return math.prod(shape) * item
