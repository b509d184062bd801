"""`keras.Model.export`, as it is: whether its file loads is for the runtime to say."""

from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.baselines.inputs import load_keras


def export_keras(
    source: str, target: Path, format: Literal["tf_saved_model", "onnx", "litert"]
) -> None:
    """Writes what Keras exports, with the default of every option, in a format as Keras calls it."""
    model = load_keras(source).model
    # Keras refuses to write ONNX of a model that was loaded and never called.
    model(np.zeros((1, *model.inputs[0].shape[1:]), np.float32), training=False)
    model.export(str(target), format=format, verbose=False)
