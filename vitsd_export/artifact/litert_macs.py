"""Finds the products of a LiteRT graph, and whether they are computed in integers."""

import math
from collections.abc import Iterator
from typing import Any

from vitsd_export.artifact.macs import Product

_WEIGHTED = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")
_OF_ACTIVATIONS = "BATCH_MATMUL"


def find_products(
    model: Any, graph: Any, ops: list[str], dtypes: dict[int, str]
) -> Iterator[Product]:
    """Yields the products of a graph.

    Args:
        model: A .tflite file's `Model`.
        graph: Its main graph.
        ops: Name of each of its operator codes.
        dtypes: Names of its element types.
    """
    image = graph.Tensors(graph.Inputs(0))
    images = image.Shape(0) if image.ShapeLength() else 1
    operators = [graph.Operators(index) for index in range(graph.OperatorsLength())]
    widened = {
        operator.Outputs(0): operator.Inputs(0)
        for operator in operators
        if ops[operator.OpcodeIndex()] == "DEQUANTIZE"
    }
    for operator in operators:
        op = ops[operator.OpcodeIndex()]
        if op not in (*_WEIGHTED, _OF_ACTIVATIONS):
            continue
        left, right = (graph.Tensors(operator.Inputs(at)) for at in range(2))
        answer = graph.Tensors(operator.Outputs(0))
        numbers = dtypes[right.Type()]
        if numbers == "float16":
            numbers = "float32"
        # Weights that are widened first are stored elsewhere.
        held = graph.Tensors(widened.get(operator.Inputs(1), operator.Inputs(1)))
        buffer = model.Buffers(held.Buffer())
        size = buffer.Size() if buffer.Size() > 1 else buffer.DataLength()
        yield Product(
            answer.Name().decode(errors="replace"),
            numbers,
            _multiply_adds(op, _shape(left), _shape(right), _shape(answer)) // max(images, 1),
            int(size),
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


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength()))
