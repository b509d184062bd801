"""Small models and artifacts that tests of several folders look at, each written once."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# What brings TensorFlow up is imported by the fixtures themselves: light tests do without it.
if TYPE_CHECKING:
    import keras


@pytest.fixture
def small_preset(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a preset which is small enough to be built many times."""
    from tests.support.small_models import small_config
    from vitsd_export.model.config import PRESETS

    monkeypatch.setitem(PRESETS, "small", small_config())
    return "small"


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compressed .keras file with a card; not to be changed."""
    from tests.support.small_models import build_small, small_config
    from vitsd_export.sources.checkpoint import write_model

    path = tmp_path_factory.mktemp("archive") / "small.keras"
    write_model(build_small(), small_config(), path, {"labels": ["a", "b", "c"], "seed": 7})
    return path


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the weights of `small_config()`; not to be changed."""
    from tests.support.small_models import build_small

    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    build_small().save_weights(path)
    return path


@pytest.fixture
def save(tmp_path: Path) -> "Callable[[keras.Model], Path]":
    """Saves a model as Keras does; returns the file."""

    def save_model(model: "keras.Model") -> Path:
        path = tmp_path / "model.keras"
        model.save(path)
        return path

    return save_model


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX file with a dynamic batch and a manifest."""
    from tests.support.tiny_artifacts import write_onnx

    return write_onnx(tmp_path_factory.mktemp("onnx") / "tiny.onnx")


@pytest.fixture(scope="session")
def tiny_tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LiteRT file with a batch of 1 and a manifest."""
    from tests.support.tiny_artifacts import write_tflite

    return write_tflite(tmp_path_factory.mktemp("tflite") / "tiny.tflite")


@pytest.fixture(scope="session")
def tiny_saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SavedModel folder with a dynamic batch and a manifest."""
    from tests.support.tiny_artifacts import write_saved_model

    return write_saved_model(tmp_path_factory.mktemp("saved_model") / "tiny")
