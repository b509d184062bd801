"""What the stock converters make of a Keras model, run as a process of its own: `python -m benchmarks.stock`.

They are the peers' converters, on the whole model and on its encoder alone.
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
    from benchmarks.peers.keras_model import load_keras
    from benchmarks.peers.tensorflow_lite import converter_of
    from benchmarks.peers.tf2onnx_file import convert_model

    model = load_keras(model_path).model
    import keras

    encoder = keras.Model(model.inputs[0], model.get_layer("norm").output)
    for name, part in (("full", model), ("encoder", encoder)):
        saved_model = folder / f"{name}-saved-model"
        if not saved_model.exists():
            part.export(str(saved_model), verbose=False)
        for batch in LITERT_BATCHES:
            tflite = folder / f"{name}-b{batch}.tflite"
            if not tflite.exists():
                tflite.write_bytes(converter_of(part, batch).convert())
        onnx_file = folder / f"{name}.onnx"
        if not onnx_file.exists():
            onnx_file.write_bytes(convert_model(part).SerializeToString())


if __name__ == "__main__":
    write_stock(Path(sys.argv[1]), Path(sys.argv[2]))
