"""LiteRT's own full-integer conversion, for models of other architectures."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from vitsd_export.exporters.litert import run_converter
from vitsd_export.lowering.inference_graph import INPUT_NAME, InferenceGraph


def convert_to_int8(graph: InferenceGraph, images: np.ndarray, *, batch: int = 1) -> bytes:
    """Converts any graph to a .tflite file that takes uint8 pixels and answers in uint8.

    It is for graphs of convolutions and dense layers; see `integer_only.operators` for transformers.
    Activations have their ranges on `images`, [N, size, size, 3] uint8.

    Raises:
        InputError: If the converter cannot express it in int8.
    """

    def use_integers(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _batches(images, batch)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8

    return run_converter(
        graph,
        batch,
        use_integers,
        problem="The model cannot be written in integer operators alone (scheme full-int8)",
        remedy=" Use the scheme int8, dynamic-int8 or weight-only-int8.",
        # From floats on, so that the converter finds the pixels' scale; a cast of uint8 would stay a cast.
        input_type="float32",
    )


def _batches(images: np.ndarray, batch: int) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(images), batch):
        shape = (batch, *images.shape[1:])
        pixels = np.resize(images[start : start + batch], shape).astype(np.float32)
        # Black and white in a corner of each image: so the input's range is 0 to 255, and its integers
        # are the pixels as they are.
        pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = 0, 255
        yield {INPUT_NAME: pixels}
