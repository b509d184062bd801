"""LiteRT (TensorFlow Lite): the inference graph as one .tflite file of built-in operators."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from vitsd_export.errors import InputError
from vitsd_export.exporters.saved_model import write_saved_model
from vitsd_export.lowering.inference_graph import InferenceGraph, InputType


def convert(graph: InferenceGraph, *, batch: int = 1) -> bytes:
    """Converts the inference graph to a float32 .tflite file of LiteRT's built-in operators.

    Its signature `serving_default` takes `image`. The batch is fixed, because XNNPACK does not take
    graphs of open shape. `quantization.litert.quantizer` makes files of fewer bits from this one.

    Raises:
        InputError: If the model holds an operation that LiteRT has no built-in operator for.
    """

    def use_builtin_operators(converter: Any) -> None:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]

    return run_converter(
        graph,
        batch,
        use_builtin_operators,
        problem="The model cannot be written with LiteRT's built-in operators alone",
    )


def run_converter(
    graph: InferenceGraph,
    batch: int,
    configure: Callable[[Any], None],
    *,
    problem: str,
    remedy: str = "",
    input_type: InputType | None = None,
) -> bytes:
    """Runs LiteRT's converter after `configure` has set its options; returns the .tflite file.

    Args:
        graph: What to convert.
        batch: Images in a call.
        configure: Sets options of a `tf.lite.TFLiteConverter`.
        problem: What an error message begins with.
        remedy: What it ends with.
        input_type: Element type of the image, if not the graph's.

    Raises:
        InputError: If the converter fails.
    """
    with tempfile.TemporaryDirectory(prefix="vitsd-export-") as folder:
        # By way of a SavedModel the file gets a signature with our tensor names; from a concrete function
        # it has none, or variables that nothing initialises.
        path = Path(folder) / "saved_model"
        write_saved_model(graph, path, batch=batch, input_type=input_type)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(path))
        configure(converter)
        try:
            return bytes(converter.convert())
        except (ConverterError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{problem}: {reason[:500]}{remedy}") from error
