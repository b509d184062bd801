"""`tf.lite.TFLiteConverter` on a Keras model, as its guides have it.

https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_quantization
"""

from pathlib import Path
from typing import Literal

from benchmarks.baselines.inputs import calibration_images, load_keras


def convert_with_tensorflow_lite(
    source: str, target: Path, scheme: Literal["float32", "dynamic-int8", "full-int8"]
) -> None:
    """Writes a LiteRT file for one image a call: float32 pixels to logits, uint8 to int8 in full-int8.

    Args:
        source: The model.
        target: The file.
        scheme: What is quantized: nothing, the weights, or everything, with ranges from bundled training
            images.
    """
    import keras
    import tensorflow as tf

    model = load_keras(source).model
    # With an open batch XNNPACK would take none of the file.
    image = keras.Input(batch_shape=(1, *model.inputs[0].shape[1:]), name="image")
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, model(image)))
    if scheme != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "full-int8":
        size, classes = model.inputs[0].shape[1], model.outputs[0].shape[-1]
        converter.representative_dataset = lambda: (
            [image] for image in calibration_images(size, classes)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.int8
    target.write_bytes(converter.convert())
