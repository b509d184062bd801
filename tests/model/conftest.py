"""Keras on TensorFlow, and the models that several tests look at."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vitsd_export.backend import use_tensorflow

use_tensorflow()

import keras  # noqa: E402

from tests.model.small_models import build_small, small_config  # noqa: E402
from vitsd_export.model.checkpoint import write_model  # noqa: E402
from vitsd_export.model.classifier import build_classifier  # noqa: E402
from vitsd_export.model.config import PRESETS, preset_config  # noqa: E402


@pytest.fixture(scope="session")
def vit_small_ds() -> keras.Model:
    """The published architecture with 100 classes, untrained; not to be changed."""
    return build_classifier(preset_config("vit-small-ds"))


@pytest.fixture(scope="session")
def vit_tiny() -> keras.Model:
    """The small preset, untrained; not to be changed."""
    return build_classifier(preset_config("vit-tiny"))


@pytest.fixture
def small_preset(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a preset which is small enough to be built many times."""
    monkeypatch.setitem(PRESETS, "small", small_config())
    return "small"


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compressed .keras file with a card; not to be changed."""
    path = tmp_path_factory.mktemp("archive") / "small.keras"
    write_model(build_small(), small_config(), path, {"labels": ["a", "b", "c"], "seed": 7})
    return path


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the weights of `small_config()`; not to be changed."""
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    build_small().save_weights(path)
    return path


@pytest.fixture
def save(tmp_path: Path) -> Callable[[keras.Model], Path]:
    """Saves a model as Keras does; returns the file."""

    def save_model(model: keras.Model) -> Path:
        path = tmp_path / "model.keras"
        model.save(path)
        return path

    return save_model
