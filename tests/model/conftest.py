"""Keras on TensorFlow, and the models that several tests look at."""

import pytest

from vitsd_export._internal.tensorflow import use_tensorflow

use_tensorflow()

import keras  # noqa: E402

from vitsd_export.model.classifier import build_classifier  # noqa: E402
from vitsd_export.model.config import preset_config  # noqa: E402


@pytest.fixture(scope="session")
def vit_small_ds() -> keras.Model:
    """The published architecture with 100 classes, untrained; not to be changed."""
    return build_classifier(preset_config("vit-small-ds"))


@pytest.fixture(scope="session")
def vit_tiny() -> keras.Model:
    """The small preset, untrained; not to be changed."""
    return build_classifier(preset_config("vit-tiny"))
