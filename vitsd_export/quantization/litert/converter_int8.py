"""LiteRT's own full-integer conversion, for models of other architectures."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from vitsd_export.errors import InputError
from vitsd_export.lowering.inference_graph import INPUT_NAME, InferenceGraph


def convert_to_int8(graph: InferenceGraph, images: np.ndarray, *, batch: int = 1) -> bytes:
    """Converts any graph to a .tflite file of int8 operators, if LiteRT's converter can.

    Args:
        graph: The graph; of convolutions and dense layers for the most part: see
            `integer_operators` for what becomes of transformers.
        images: [N, size, size, 3] uint8; the activations' ranges are those on these.
        batch: Images in a call.

    Returns:
        The file: uint8 pixels in, uint8 out.

    Raises:
        InputError: If the converter cannot express it in int8.
    """
    # From floats on, so that the converter finds the pixels' scale; a cast of uint8 would stay a cast.
    function = graph.concrete_function(batch, input_type="float32")
    module = tf.Module()
    module.variables_ = list(function.variables)
    module.serve = function
    with tempfile.TemporaryDirectory(prefix="vitsd-export-") as folder:
        path = Path(folder) / "saved_model"
        tf.saved_model.save(module, str(path), signatures={"serving_default": function})
        converter = tf.lite.TFLiteConverter.from_saved_model(str(path))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _batches(images, batch)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8
        try:
            return bytes(converter.convert())
        except (ConverterError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                "The model cannot be written in integer operators alone (scheme full-int8): "
                f"{reason[:500]} Use the scheme int8, dynamic-int8 or weight-only-int8."
            ) from error


def _batches(images: np.ndarray, batch: int) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(images), batch):
        shape = (batch, *images.shape[1:])
        pixels = np.resize(images[start : start + batch], shape).astype(np.float32)
        # Black and white in a corner of each image: so the input's range is 0 to 255, and its integers
        # are the pixels as they are.
        pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = 0, 255
        yield {INPUT_NAME: pixels}
