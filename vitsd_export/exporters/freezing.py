"""The inference graph with its weights as constants, where every converter begins."""

from typing import Any

from vitsd_export.lowering.inference_graph import InferenceGraph


def frozen_function(graph: InferenceGraph, batch: int | None) -> Any:
    """Returns a ConcreteFunction without variables.

    tf2onnx turns captured values into inputs that the file then requires, and LiteRT's converter leaves
    resource variables in the file that nothing initialises, unless they are constants beforehand.
    """
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    return convert_variables_to_constants_v2(
        graph.concrete_function(batch), lower_control_flow=False
    )
