"""Every form of source, from the command line to a verified ONNX file that answers as the source did."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.command_line import run_command
from tests.support.keras_models import small_config, small_transformer, softmax
from tests.support.legacy_models import NARROW, Legacy
from tests.support.source_tensors import hyperparameters
from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.model.config import PRESETS
from vitsd_export.runtimes import open_runner

Write = Callable[[Any, Path], Path]


def keras_file(model: Any, folder: Path) -> Path:
    model.save(folder / "model.keras")
    return folder / "model.keras"


def unpacked(model: Any, folder: Path) -> Path:
    shutil.unpack_archive(keras_file(model, folder), folder / "model", "zip")
    return folder / "model"


def whole_hdf5(model: Any, folder: Path) -> Path:
    model.save(folder / "model.h5")
    return folder / "model.h5"


def weights(model: Any, folder: Path) -> Path:
    model.save_weights(folder / "model.weights.h5")
    return folder / "model.weights.h5"


def renamed_weights(model: Any, folder: Path) -> Path:
    return weights(model, folder).rename(folder / "model.h5")


def saved_model(model: Any, folder: Path) -> Path:
    with quiet_converters():
        model.export(folder / "model")
    return folder / "model"


@pytest.fixture
def presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets of the models below."""
    monkeypatch.setitem(PRESETS, "small", small_config())
    monkeypatch.setitem(PRESETS, "narrow", hyperparameters(NARROW))


def check(source: Path, target: Path, pixels: np.ndarray, logits: np.ndarray, *options: str) -> Any:
    outcome = run_command("onnx", "--model", source, "-o", target, "--json", *options)
    assert outcome.exit_code == 0, outcome.stderr
    assert json.loads(outcome.stdout)["artifacts"][0]["verification"]["passed"]
    with open_runner(target) as runner:
        np.testing.assert_allclose(runner.run(pixels), softmax(logits), atol=1e-5)
        assert runner.manifest is not None
        assert len(runner.manifest.source["sha256"]) == 64
        return runner.manifest


@pytest.mark.usefixtures("presets", "tried_here")
@pytest.mark.parametrize(
    ("write", "options", "form"),
    [
        (keras_file, (), ".keras file"),
        (unpacked, (), ".keras file"),
        (whole_hdf5, (), "whole model in HDF5"),
        (weights, ("--preset", "small"), "weights of Keras 3"),
        (renamed_weights, ("--preset", "small"), "weights of Keras 3"),
        (saved_model, (), "SavedModel, graph"),
    ],
)
def test_forms_of_keras_3(
    write: Write, options: Any, form: str, images: np.ndarray, tmp_path: Path
) -> None:
    model = small_transformer()
    logits = np.asarray(model(images[:50].astype(np.float32), training=False))
    manifest = check(write(model, tmp_path), tmp_path / "x.onnx", images[:50], logits, *options)
    assert manifest.source["form"] == form
    assert bool(manifest.options["rewrites"]) is ("graph" not in form)


@pytest.mark.usefixtures("presets")
@pytest.mark.parametrize(
    ("name", "options", "form"),
    [
        ("weights.h5", ("--preset", "narrow"), "weights of Keras 2"),
        ("whole.h5", (), "whole model in HDF5, weights mapped"),
        ("whole.h5", ("--preset", "narrow"), "weights of Keras 2"),
    ],
)
def test_hdf5_of_keras_2(
    name: str, options: Any, form: str, legacy: Legacy, tmp_path: Path
) -> None:
    pixels, logits = legacy.answers()
    target = tmp_path / "x.onnx"
    manifest = check(legacy.folder / name, target, pixels.astype(np.uint8), logits, *options)
    assert manifest.source["form"] == form
    assert manifest.options["rewrites"]
