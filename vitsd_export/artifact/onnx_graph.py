"""Reads the graph of an ONNX file without running it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto

from vitsd_export._internal.messages import first_line
from vitsd_export.artifact.damage import parse_manifest, unusable
from vitsd_export.artifact.graph_summary import (
    Constant,
    GraphSummary,
    Node,
    by_falling_number,
    count_parameters,
    group_weights,
)
from vitsd_export.artifact.manifest import MANIFEST_KEY, Manifest
from vitsd_export.artifact.onnx_macs import dtype_name, find_products, stored_bytes
from vitsd_export.artifact.tensor_info import TensorInfo

_STANDARD_DOMAINS = ("", "ai.onnx")


def read_onnx_graph(path: Path) -> tuple[GraphSummary, Manifest | None]:
    """Returns what an ONNX file is made of, and the manifest inside it.

    Weights kept in files beside it are counted but not read.

    Raises:
        InputError: If the file is truncated, damaged or not ONNX, or its manifest cannot be read.
    """
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
        summary = _summarize(model)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
    except OSError as error:
        raise unusable(path, f"it cannot be read ({error.strerror or error})") from error
    except errors as error:
        reason = first_line(error).rstrip(".")
        raise unusable(path, f"it is truncated, damaged or not an ONNX file ({reason})") from error
    return summary, parse_manifest(path, metadata.get(MANIFEST_KEY))


def _summarize(model: Any) -> GraphSummary:
    graphs = [model.graph, *_subgraphs(model.graph.node)]
    nodes = [node for graph in graphs for node in graph.node]
    for function in model.functions:
        nodes += function.node
        nodes += [node for graph in _subgraphs(function.node) for node in graph.node]
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
    constants = list(_constants(graphs, nodes))
    return GraphSummary(
        inputs=tuple(_info(value) for value in inputs),
        outputs=tuple(_info(value) for value in model.graph.output),
        ops=by_falling_number(names),
        custom_ops=tuple(sorted(foreign)),
        versions=versions,
        weights=group_weights(constants),
        parameters=count_parameters(constants),
        nodes=tuple(
            Node(node.name, _op_name(node), tuple(node.input), tuple(node.output))
            for node in model.graph.node
        ),
        products=tuple(find_products(model)),
    )


def _op_name(node: Any) -> str:
    standard = node.domain in _STANDARD_DOMAINS
    return node.op_type if standard else f"{node.domain}.{node.op_type}"


def _subgraphs(nodes: Any) -> Iterator[Any]:
    """Yields the bodies of If, Loop and Scan, and what is nested in them."""
    for node in nodes:
        for attribute in node.attribute:
            bodies = list(attribute.graphs)
            if attribute.type == AttributeProto.GRAPH:
                bodies.append(attribute.g)
            for body in bodies:
                yield body
                yield from _subgraphs(body.node)


def _info(value: Any) -> TensorInfo:
    tensor = value.type.tensor_type
    sizes = tuple(
        int(size.dim_value) if size.HasField("dim_value") else None for size in tensor.shape.dim
    )
    return TensorInfo(value.name, dtype_name(tensor.elem_type), sizes)


def _constants(graphs: list[Any], nodes: list[Any]) -> Iterator[Constant]:
    tensors = [tensor for graph in graphs for tensor in graph.initializer]
    for node in nodes:
        if node.op_type == "Constant":
            tensors += [item.t for item in node.attribute if item.type == AttributeProto.TENSOR]
    for tensor in tensors:
        dtype = dtype_name(tensor.data_type)
        # Shapes, axes and pads are int64 throughout; int32 is the type of quantized biases.
        is_weight = dtype not in ("int64", "bool", "string")
        yield Constant(dtype, tuple(tensor.dims), stored_bytes(tensor), is_weight)
