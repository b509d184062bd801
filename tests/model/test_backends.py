"""The same file gives the same logits on TensorFlow and on JAX."""

from pathlib import Path

import keras
import numpy as np

from tests.support.processes import run_python
from tests.support.small_models import random_pixels, set_random_weights
from vitsd_export.model.classifier import build_classifier
from vitsd_export.model.config import preset_config

# Prints which backend answered, and whether TensorFlow was imported on the way.
_ANSWER = """
import sys
import keras
import numpy as np
from vitsd_export.sources.checkpoint import load_model

pixels, *paths = sys.argv[1:]
for path in paths:
    # Not called as a function: that compiles every operator by itself.
    np.save(path + ".npy", load_model(path).model.predict_on_batch(np.load(pixels)))
print(keras.backend.backend(), "tensorflow" in sys.modules)
"""

PRESETS = ("vit-tiny", "vit-small-ds")


def test_logits_are_equal_on_jax(tmp_path: Path) -> None:
    pixels = random_pixels(3, 32)
    np.save(tmp_path / "pixels.npy", pixels)
    expected = {}
    for preset in PRESETS:
        model = build_classifier(preset_config(preset))
        set_random_weights(model)
        model.save(tmp_path / f"{preset}.keras")
        expected[preset] = keras.ops.convert_to_numpy(model(pixels, training=False))
    files = [tmp_path / "pixels.npy", *(tmp_path / f"{preset}.keras" for preset in PRESETS)]
    printed = run_python(_ANSWER, *files, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
    assert printed.split() == ["jax", "False"]
    for preset, logits in expected.items():
        # The images are told apart, so that equal logits say something.
        assert np.abs(logits[0] - logits[1]).max() > 1e-2
        np.testing.assert_allclose(np.load(tmp_path / f"{preset}.keras.npy"), logits, atol=1e-4)
