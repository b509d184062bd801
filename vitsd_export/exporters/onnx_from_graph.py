"""The lowered graph in ONNX."""

import numpy as np
from onnx import numpy_helper

from vitsd_export.exporters.onnx_file import OnnxGraph
from vitsd_export.exporters.onnx_operators import OnnxOperators
from vitsd_export.lowering.graph import Graph
from vitsd_export.lowering.program import GEOMETRY_SCOPE, compute

INPUT_NAME = "image"


def build(graph: Graph, opset: int, answer: str) -> OnnxGraph:
    """Builds the ONNX graph of a lowered model, for any batch.

    Args:
        graph: The lowered graph.
        opset: Version of the default operator set.
        answer: Name of the output.
    """
    operators = OnnxOperators(opset)
    compute(graph, operators, INPUT_NAME, answer)
    weights = {
        name: values
        for name, values in operators.constants.items()
        if values.dtype == np.float32 and not name.startswith(GEOMETRY_SCOPE)
    }
    constants = [
        numpy_helper.from_array(values, name)
        for name, values in operators.constants.items()
        if name not in weights
    ]
    return OnnxGraph(operators.nodes, constants, weights)
