"""`tf.lite.TFLiteConverter` on a Keras model, as its guides have it.

https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_quantization
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.peers.keras_model import load_keras

_CALIBRATION_IMAGES = 128


def convert_with_tensorflow_lite(
    source: str, target: Path, scheme: Literal["float32", "dynamic-int8", "full-int8"]
) -> None:
    """Writes a LiteRT file for one image a call: with an open batch XNNPACK would take none of it.

    Args:
        source: The model.
        target: The file; float32 pixels to logits, uint8 to int8 in full-int8.
        scheme: What is quantized: nothing, the weights, or everything, with ranges from bundled training
            images.
    """
    model = load_keras(source).model
    import keras
    import tensorflow as tf

    size = model.inputs[0].shape[1]
    image = keras.Input(batch_shape=(1, size, size, 3), name="image")
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, model(image)))
    if scheme != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "full-int8":
        converter.representative_dataset = lambda: calibration_images(size)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.int8
    target.write_bytes(converter.convert())


def calibration_images(size: int) -> Iterator[list[np.ndarray]]:
    """Yields bundled training images, [1, size, size, 3] float32, each in a list of one input."""
    from vitsd_export.data.sources import load_images

    images = load_images("sample", split="train", size=size).images[:_CALIBRATION_IMAGES]
    return ([image[None]] for image in images.astype(np.float32))
