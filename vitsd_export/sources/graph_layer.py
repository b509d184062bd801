"""A SavedModel's graph as a Keras layer, for models that cannot be taken apart."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from vitsd_export._internal.tensorflow import import_tensorflow, quiet_converters
from vitsd_export.sources.signature import ImageSignature


class SavedModelGraph(keras.layers.Layer):
    """Runs the signature of a SavedModel.

    Input: [batch, size, size, 3] float32 pixels. Output: [batch, classes] float32.

    Args:
        folder: The SavedModel, whose operators have been checked.
        signature: What to run of it.
        classes: Number of scores.
    """

    def __init__(self, folder: Path, signature: ImageSignature, classes: int) -> None:
        super().__init__(name="saved_model", trainable=False)
        tf = import_tensorflow()
        with quiet_converters():
            loaded = tf.saved_model.load(str(folder))
        self._cast, self._round = tf.cast, tf.round
        self._function = loaded.signatures[signature.name]
        self._signature = signature
        self._classes = classes
        # The variables live as long as the object that was loaded. In a tuple Keras does not look into it.
        self._loaded = (loaded,)
        self.parameters = sum(int(np.prod(v.shape)) for v in self._function.variables)
        self.built = True

    def call(self, images: Any) -> Any:
        dtype = self._signature.dtype
        pixels = self._cast(self._round(images) if dtype == "uint8" else images, dtype)
        answer = self._function(**{self._signature.input: pixels})[self._signature.output]
        return self._cast(answer, "float32")

    def compute_output_spec(self, images: Any) -> Any:
        return keras.KerasTensor((images.shape[0], self._classes), "float32")

    def count_params(self) -> int:
        return self.parameters
