"""What the stock converters make of a Keras model, run as a process of its own: `python -m benchmarks.stock`.

tf2onnx's file is patched only so that it loads: by the handler of `Erfc`, and by giving it the two captured
constants of the normalisation, which it makes required inputs.
"""

import sys
from pathlib import Path

LITERT_BATCHES = (1, 8)


def write_stock(model_path: Path, folder: Path) -> None:
    """Writes `full` and `encoder` artifacts of a .keras file: .onnx, -bN.tflite, -saved-model.

    Args:
        model_path: The model.
        folder: Where they go; those that are there are left alone.
    """
    from vitsd_export.backend import use_tensorflow

    use_tensorflow()
    import keras
    import tensorflow as tf
    import tf2onnx

    import vitsd_export.exporters.erfc
    import vitsd_export.model.layers  # noqa: F401

    model = keras.saving.load_model(model_path, compile=False)
    encoder = keras.Model(model.inputs[0], model.get_layer("norm").output)
    size = model.inputs[0].shape[1]
    for name, part in (("full", model), ("encoder", encoder)):
        saved_model = folder / f"{name}-saved-model"
        if not saved_model.exists():
            part.export(str(saved_model), verbose=False)
        for batch in LITERT_BATCHES:
            tflite = folder / f"{name}-b{batch}.tflite"
            if not tflite.exists():
                # With an open batch XNNPACK would take none of it.
                image = keras.Input(batch_shape=(batch, size, size, 3), name="image")
                fixed = keras.Model(image, part(image))
                tflite.write_bytes(tf.lite.TFLiteConverter.from_keras_model(fixed).convert())
        onnx_file = folder / f"{name}.onnx"
        if not onnx_file.exists():
            signature = [tf.TensorSpec((None, size, size, 3), tf.float32, name="image")]
            function = tf.function(lambda image, part=part: part(image, training=False))
            converted, _ = tf2onnx.convert.from_function(
                function, input_signature=signature, opset=17
            )
            _give_captured_constants(converted, model.get_layer("normalization"))
            onnx_file.write_bytes(converted.SerializeToString())


def write_stock_integers(model_path: Path, folder: Path) -> None:
    """Writes `full-int8.tflite`: tf.lite's integers throughout, uint8 in, int8 out, as its guide has it."""
    target = folder / "full-int8.tflite"
    if target.exists():
        return
    from vitsd_export.backend import use_tensorflow

    use_tensorflow()
    import keras
    import tensorflow as tf

    import vitsd_export.model.layers  # noqa: F401
    from vitsd_export.data.sample import load_sample

    model = keras.saving.load_model(model_path, compile=False)
    size = model.inputs[0].shape[1]
    image = keras.Input(batch_shape=(1, size, size, 3), name="image")
    # Probabilities, so that its answers can be compared.
    answer = keras.layers.Softmax()(model(image))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, answer))
    pictures = load_sample("calibration").images[:128].astype("float32")
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([picture[None]] for picture in pictures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.int8
    target.write_bytes(converter.convert())


def _give_captured_constants(converted: object, normalization: object) -> None:
    import keras
    import numpy as np
    from onnx import numpy_helper

    graph = converted.graph  # type: ignore[attr-defined]
    values = {
        "Sub/y": normalization.mean,  # type: ignore[attr-defined]
        "Sqrt/x": normalization.variance,  # type: ignore[attr-defined]
    }
    for captured in [value for value in graph.input if value.name != "image"]:
        (value,) = (value for part, value in values.items() if part in captured.name)
        array = np.asarray(keras.ops.convert_to_numpy(value), np.float32)
        graph.initializer.append(numpy_helper.from_array(array, captured.name))
        graph.input.remove(captured)


if __name__ == "__main__":
    *options, model_argument, folder_argument = sys.argv[1:]
    write_stock(Path(model_argument), Path(folder_argument))
    if "--integers" in options:
        write_stock_integers(Path(model_argument), Path(folder_argument))
