"""tf2onnx from a Keras model, as its documentation has it, patched only so that the file loads.

There are two patches. `Erfc`, which exact GELU lowers to and tf2onnx 1.17 does not know, becomes 1 - Erf. And
what a function captures (mean and variance of the normalisation), which tf2onnx turns into required inputs,
becomes an initializer of the same name.
"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.baselines.inputs import load_keras

_OPSET = 17


def convert_with_tf2onnx(source: str, target: Path) -> None:
    """Writes an ONNX file: float32 pixels [N, size, size, 3] to logits."""
    model = load_keras(source).model
    target.write_bytes(convert_model(model).SerializeToString())


def convert_model(model: Any) -> Any:
    """Returns the onnx.ModelProto of a Keras model that tf2onnx makes, patched so that it loads."""
    import tensorflow as tf
    import tf2onnx

    import vitsd_export.exporters.erfc  # noqa: F401  registers the handler

    image = tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32, name="image")
    function = tf.function(lambda image: model(image, training=False), input_signature=[image])
    converted, _ = tf2onnx.convert.from_function(function, input_signature=[image], opset=_OPSET)
    _make_constants(converted.graph, function.get_concrete_function().graph.captures)
    return converted


def _make_constants(graph: Any, captures: list[tuple[Any, Any]]) -> None:
    """Gives the inputs that stand for captured constants their values.

    Args:
        graph: The onnx.GraphProto.
        captures: Pairs of a captured tensor and of what it is called in the function.
    """
    from onnx import numpy_helper

    values = {inside.name: outside for outside, inside in captures}
    for extra in [value for value in graph.input if value.name in values]:
        array = np.asarray(values[extra.name])
        graph.initializer.append(numpy_helper.from_array(array, extra.name))
        graph.input.remove(extra)
