"""Changes of an ONNX graph's dense layers that several schemes make."""

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper


def scaled_gemms(model: onnx.ModelProto) -> list[str]:
    """Returns the Gemms with factors, which onnxruntime forgets at the bias of one in integers."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Gemm"
        and node.input[1] in constants
        and any(attribute(node, factor) not in (None, 1.0) for factor in ("alpha", "beta"))
    ]


def split_gemms(model: onnx.ModelProto, names: Collection[str], *, subtract: bool = False) -> None:
    """Makes products and sums of the named Gemms, in place; the product keeps the layer's name.

    With `subtract` the negative bias is subtracted instead: onnxruntime joins a product and a sum to a Gemm
    again, and before 1.31 knew no kernel for one in four bits.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        plain = node.op_type == "Gemm" and not attribute(node, "transA")
        if not plain or node.name not in names:
            nodes.append(node)
            continue
        kernel = node.input[1]
        factor = attribute(node, "alpha")
        if attribute(node, "transB") or factor not in (None, 1.0):
            values = numpy_helper.to_array(weights[kernel])
            if attribute(node, "transB"):
                values = values.T
            kernel = f"{node.name}/kernel_by_column"
            values = np.ascontiguousarray(values * np.float32(1.0 if factor is None else factor))
            model.graph.initializer.append(numpy_helper.from_array(values, kernel))
        answer = node.output[0]
        if len(node.input) < 3 or not node.input[2]:
            nodes.append(helper.make_node("MatMul", [node.input[0], kernel], [answer], node.name))
            continue
        product, bias = f"{answer}/product", node.input[2]
        beta = attribute(node, "beta")
        factor = (-1.0 if subtract else 1.0) * (1.0 if beta is None else beta)
        if factor != 1:
            bias = f"{node.name}/scaled_bias"
            scaled = numpy_helper.to_array(weights[node.input[2]]) * np.float32(factor)
            model.graph.initializer.append(numpy_helper.from_array(scaled, bias))
        kind = "Sub" if subtract else "Add"
        nodes += [
            helper.make_node("MatMul", [node.input[0], kernel], [product], node.name),
            helper.make_node(kind, [product, bias], [answer], f"{node.name}/bias_added"),
        ]
    used = {name for node in nodes for name in node.input}
    for tensor in list(model.graph.initializer):
        if tensor.name not in used:
            model.graph.initializer.remove(tensor)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def put_first(model: onnx.ModelProto, nodes: list[NodeProto]) -> None:
    """Puts nodes before all others, in place."""
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])


def attribute(node: NodeProto, name: str) -> Any:
    """Returns the value of a node's attribute; None if it has none of the name."""
    found = [entry for entry in node.attribute if entry.name == name]
    return helper.get_attribute_value(found[0]) if found else None
