"""The training graph in ONNX, by way of tf2onnx: for models of other architectures."""

import logging
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from vitsd_export.errors import InputError
from vitsd_export.exporters.onnx_file import LARGE_BYTES, OnnxGraph
from vitsd_export.lowering.inference_graph import INPUT_NAME, InferenceGraph

_KEPT_APART = ("_XlaMustCompile", "_noinline")


def build(graph: InferenceGraph, opset: int, batch: int | None) -> OnnxGraph:
    """Converts the TensorFlow function of a model to ONNX of an opset; a batch of None is left open.

    Raises:
        InputError: If the model holds an operation that tf2onnx cannot convert.
    """
    frozen = frozen_function(graph, batch)
    graph_def = frozen.graph.as_graph_def()
    _let_functions_be_inlined(graph_def)
    input_name, output_name = frozen.inputs[0].name, frozen.outputs[0].name
    # tf2onnx copies every constant many times over.
    lifted = _lift_large_weights(graph_def)
    placeholders = [f"{name}:0" for name in lifted]
    model = _convert(graph_def, [input_name, *placeholders], output_name, opset)
    _rename(model.graph, {input_name: INPUT_NAME, output_name: graph.output})
    weights = dict(zip(placeholders, lifted.values(), strict=True))
    constants = []
    for initializer in model.graph.initializer:
        if initializer.data_type == TensorProto.FLOAT:
            weights[initializer.name] = numpy_helper.to_array(initializer)
        else:
            constants.append(initializer)
    return OnnxGraph(list(model.graph.node), constants, weights)


def frozen_function(graph: InferenceGraph, batch: int | None) -> Any:
    """Returns the inference graph as a ConcreteFunction without variables.

    tf2onnx turns captured values into inputs that the file then requires, unless they are constants
    beforehand.
    """
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    return convert_variables_to_constants_v2(
        graph.concrete_function(batch), lower_control_flow=False
    )


def _let_functions_be_inlined(graph_def: Any) -> None:
    """Takes away what keeps TensorFlow from inlining functions, which tf2onnx does not know.

    Keras has XLA compile its grouped convolutions, each in a function of its own.
    """
    functions = graph_def.library.function
    inner = (node for function in functions for node in function.node_def)
    for item in (*functions, *graph_def.node, *inner):
        for mark in _KEPT_APART:
            item.attr.pop(mark, None)


def _lift_large_weights(graph_def: Any) -> dict[str, np.ndarray]:
    """Replaces large float constants by placeholders; returns them by node name."""
    import tensorflow as tf

    lifted: dict[str, np.ndarray] = {}
    for node in graph_def.node:
        if node.op != "Const":
            continue
        proto = node.attr["value"].tensor
        shape = [dim.size for dim in proto.tensor_shape.dim]
        if node.attr["dtype"].type != tf.float32.as_datatype_enum:
            continue
        if 4 * int(np.prod(shape)) < LARGE_BYTES:
            continue
        lifted[node.name] = tf.make_ndarray(proto)
        node.op = "Placeholder"
        node.attr.pop("value")
        node.attr["shape"].shape.CopyFrom(tf.TensorShape(shape).as_proto())
    return lifted


def _convert(graph_def: Any, inputs: list[str], output: str, opset: int) -> onnx.ModelProto:
    import tf2onnx

    import vitsd_export.exporters.erfc  # noqa: F401  registers the handler

    log = _ErrorLog()
    logger = logging.getLogger("tf2onnx")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(log)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        model, _ = tf2onnx.convert.from_graph_def(
            graph_def, name="classifier", input_names=inputs, output_names=[output], opset=opset
        )
    except (ValueError, NotImplementedError, RuntimeError, KeyError, AttributeError) as error:
        raise InputError(
            f"tf2onnx cannot convert this model to opset {opset}: {error}. Try a newer --opset."
        ) from error
    finally:
        logger.removeHandler(log)
        logger.setLevel(level)
        logger.propagate = propagate
    # tf2onnx logs what it cannot convert and goes on to write a file that no runtime loads.
    if log.messages:
        raise InputError(
            f"tf2onnx cannot convert this model to opset {opset}: {' '.join(log.messages)[:500]}"
        )
    return model


class _ErrorLog(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(" ".join(record.getMessage().split()))


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        for tensors in (node.input, node.output):
            for index, tensor in enumerate(tensors):
                tensors[index] = names.get(tensor, tensor)
