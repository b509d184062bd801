"""One small artifact of each format, written once."""

from pathlib import Path

import pytest

from tests.runtimes.tiny_artifacts import write_onnx, write_saved_model, write_tflite


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX file with a dynamic batch and a manifest."""
    return write_onnx(tmp_path_factory.mktemp("onnx") / "tiny.onnx")


@pytest.fixture(scope="session")
def tiny_tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LiteRT file with a batch of 1 and a manifest."""
    return write_tflite(tmp_path_factory.mktemp("tflite") / "tiny.tflite")


@pytest.fixture(scope="session")
def tiny_saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SavedModel folder with a dynamic batch and a manifest."""
    return write_saved_model(tmp_path_factory.mktemp("saved_model") / "tiny")
