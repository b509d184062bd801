"""Finds the products of an ONNX graph, and whether they are computed in integers."""

import math
from collections.abc import Iterator
from typing import Any

import onnx
from onnx import TensorProto, helper

from vitsd_export.artifact.macs import Product

# Operand that is the weight, by operator.
_FLOATS = {"MatMul": 1, "Gemm": 1, "Conv": 1, "FusedMatMul": 1}
_INTEGERS = {"MatMulInteger": 1, "ConvInteger": 1, "QLinearMatMul": 3, "QLinearConv": 3}
_BLOCKS = "MatMulNBits"

# Operators that only change how a constant is stored.
_WIDENING = ("Cast", "Mul", "DequantizeLinear", "Transpose", "Reshape")

# Larger constants hold no shapes.
_SMALL = 64


def find_products(model: onnx.ModelProto) -> Iterator[Product]:
    """Yields the products of a model's main graph."""
    shapes = _shapes(model)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type == _BLOCKS:
            yield _of_blocks(node, shapes, stored)
            continue
        weight = {**_FLOATS, **_INTEGERS}.get(node.op_type)
        if weight is None:
            continue
        constant = _stored(node.input[weight], makers, stored)
        numbers = "float32"
        if node.op_type in _INTEGERS:
            numbers = "int8"
        elif constant is not None and _is_dequantized(node.input[weight], makers):
            name = dtype_name(constant.data_type)
            # Integers are computed with where both operands are, or where the runtime rounds the other
            # itself, as it does for blocks.
            if name in ("int4", "uint4") or _is_dequantized(node.input[0], makers):
                numbers = name.removeprefix("u")
        elif constant is None and all(_is_dequantized(name, makers) for name in node.input[:2]):
            numbers = "int8"
        yield Product(
            node.name,
            numbers,
            _multiply_adds(node, weight, shapes),
            0 if constant is None else stored_bytes(constant),
        )


def _of_blocks(node: Any, shapes: dict[str, tuple[int, ...]], stored: dict[str, Any]) -> Product:
    told = {entry.name: entry.i for entry in node.attribute}
    size = told["K"] * told["N"]
    rows = shapes.get(node.input[0])
    weight = stored.get(node.input[1])
    return Product(
        node.name,
        f"int{told['bits']}",
        None if rows is None else math.prod(rows[:-1]) * size,
        0 if weight is None else len(weight.raw_data),
    )


def _multiply_adds(node: Any, weight: int, shapes: dict[str, tuple[int, ...]]) -> int | None:
    answer, kernel = shapes.get(node.output[0]), shapes.get(node.input[weight])
    if answer is None or kernel is None:
        return None
    if "Conv" in node.op_type:
        return math.prod(answer) * math.prod(kernel[1:])
    told = {entry.name: entry.i for entry in node.attribute}
    summed = kernel[-1] if told.get("transB") else kernel[-2]
    return math.prod(answer) * summed


def _stored(name: str, makers: dict[str, Any], stored: dict[str, Any]) -> Any:
    """Returns the constant that a tensor is made of, or None if it depends on the image."""
    while name not in stored:
        maker = makers.get(name)
        if maker is None or maker.op_type not in _WIDENING:
            return None
        name = maker.input[0]
    return stored[name]


def _is_dequantized(name: str, makers: dict[str, Any]) -> bool:
    maker = makers.get(name)
    while maker is not None and maker.op_type in ("Transpose", "Reshape"):
        maker = makers.get(maker.input[0])
    return maker is not None and maker.op_type == "DequantizeLinear"


def dtype_name(element_type: int) -> str:
    """Returns NumPy's name of an ONNX element type."""
    if element_type == TensorProto.STRING:
        return "string"
    return str(helper.tensor_dtype_to_np_dtype(element_type).name)


def stored_bytes(tensor: TensorProto) -> int:
    """Returns how many bytes a constant takes in the file."""
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data)
    if tensor.data_type == TensorProto.STRING:
        return sum(map(len, tensor.string_data))
    size = math.prod(map(int, tensor.dims))
    packed = {"int4": 2, "uint4": 2, "int2": 4, "uint2": 4}.get(dtype_name(tensor.data_type))
    if packed is not None:
        return -(-size // packed)
    return size * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every tensor for one image, as far as it can be inferred."""
    graph = onnx.GraphProto()
    graph.name = model.graph.name or "graph"
    graph.node.extend(model.graph.node)
    graph.output.extend(model.graph.output)
    names = set()
    for tensor in model.graph.initializer:
        names.add(tensor.name)
        if math.prod(tensor.dims) <= _SMALL:
            graph.initializer.append(tensor)
        else:
            # Its shape alone: inference would copy the numbers.
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    for value in model.graph.input:
        if value.name not in names:
            graph.input.append(value)
            for size in graph.input[-1].type.tensor_type.shape.dim[:1]:
                if not size.HasField("dim_value"):
                    size.dim_value = 1
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    bare = onnx.ModelProto()
    bare.CopyFrom(
        helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    )
    inferred = onnx.shape_inference.infer_shapes(bare, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        sizes = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(s.HasField("dim_value") for s in sizes):
            shapes[value.name] = tuple(int(size.dim_value) for size in sizes)
    return shapes
