"""The same file gives the same logits on TensorFlow and on JAX."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.model.small_models import random_pixels, set_random_weights
from vitsd_export.model.classifier import build_classifier
from vitsd_export.model.config import preset_config

# Prints which backend answered, and whether TensorFlow was imported on the way.
_ANSWER = """
import sys
import keras
import numpy as np
from vitsd_export.model.checkpoint import load_model

path, pixels, answers = sys.argv[1:]
model = load_model(path).model
logits = model(np.load(pixels), training=False)
np.save(answers, keras.ops.convert_to_numpy(logits))
print(keras.backend.backend(), "tensorflow" in sys.modules)
"""

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("preset", ["vit-tiny", "vit-small-ds"])
def test_logits_are_equal_on_jax(preset: str, tmp_path: Path) -> None:
    model = build_classifier(preset_config(preset))
    set_random_weights(model)
    model.save(tmp_path / "model.keras")
    pixels = random_pixels(3, 32)
    np.save(tmp_path / "pixels.npy", pixels)
    files = [tmp_path / name for name in ("model.keras", "pixels.npy", "logits.npy")]
    finished = subprocess.run(
        [sys.executable, "-c", _ANSWER, *map(str, files)],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(REPOSITORY),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == ["jax", "False"]
    logits = keras.ops.convert_to_numpy(model(pixels, training=False))
    # The images are told apart, so that equal logits say something.
    assert np.abs(logits[0] - logits[1]).max() > 1e-2
    np.testing.assert_allclose(np.load(files[2]), logits, atol=1e-4)
