"""A SavedModel of TF-Keras 2 becomes the Keras 3 model, weight by weight."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.support.command_line import run_command
from tests.support.legacy_models import NARROW, PUBLISHED, Legacy, train_legacy
from vitsd_export.data.labels import CIFAR100_FINE_CLASSES
from vitsd_export.errors import InputError
from vitsd_export.lowering.reading import read_graph
from vitsd_export.runtimes import open_runner
from vitsd_export.sources import saved_model
from vitsd_export.sources.checkpoint import load_model
from vitsd_export.sources.checkpoint_tensors import read_variables
from vitsd_export.workflows.export import Export, Target


def largest_difference(model: Any, answers: tuple[np.ndarray, np.ndarray]) -> float:
    images, logits = answers
    assert logits.std() > 0.1
    return float(np.abs(np.asarray(model(images, training=False)) - logits).max())


def test_the_mapped_model_answers_as_the_one_that_was_saved(legacy: Legacy, mapped: Any) -> None:
    assert largest_difference(mapped.model, legacy.answers()) <= 1e-5
    assert mapped.provenance["form"] == "SavedModel of TF-Keras 2, weights mapped"
    assert mapped.provenance["difference"] <= 1e-6
    assert mapped.notes == ()
    assert read_graph(mapped.model).tokenizer.image_size == NARROW["image_size"]


def test_every_tensor_of_the_model_and_none_of_the_optimizer_is_read(
    legacy: Legacy, mapped: Any
) -> None:
    tensors = read_variables(legacy.saved_model)
    assert len(tensors) == len(mapped.model.weights)
    assert sum(tensor.value.size for tensor in tensors) == mapped.model.count_params()
    prefix = legacy.saved_model / "variables" / "variables"
    slots = [name for name, _ in tf.train.list_variables(str(prefix)) if "SLOT" in name]
    assert len(slots) == 2 * len(mapped.model.trainable_weights)


def test_onnx_of_it_is_verified_from_the_command_line(legacy: Legacy, tmp_path: Path) -> None:
    check_export(legacy, "onnx", tmp_path / "x.onnx")


@pytest.mark.usefixtures("tried_here")
def test_litert_of_it_is_verified_from_the_command_line(legacy: Legacy, tmp_path: Path) -> None:
    check_export(legacy, "tflite", tmp_path / "x.tflite")


def check_export(legacy: Legacy, command: str, target: Path) -> None:
    images, logits = legacy.answers()
    outcome = run_command(
        command, "--model", legacy.saved_model, "-o", target, "--answer", "logits", "--json"
    )
    assert outcome.exit_code == 0, outcome.stderr
    assert json.loads(outcome.stdout)["artifacts"][0]["verification"]["passed"]
    with open_runner(target) as runner:
        np.testing.assert_allclose(runner.run(images.astype(np.uint8)), logits, atol=2e-5)
        assert runner.labels == CIFAR100_FINE_CLASSES
        assert runner.manifest is not None
        assert len(runner.manifest.source["sha256"]) == 64
        assert runner.manifest.options["rewrites"]


@pytest.mark.usefixtures("tried_here")
def test_a_graph_that_answers_otherwise_than_its_weights_is_exported_as_it_is(
    legacy: Legacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that no mapped model can pass.
    monkeypatch.setattr(saved_model, "AGREEMENT", -1.0)
    loaded = load_model(legacy.saved_model)
    assert loaded.is_graph
    assert loaded.provenance["form"] == "SavedModel of TF-Keras 2, graph"
    assert "its weights fit, but its graph answers otherwise" in loaded.notes[0]
    assert largest_difference(loaded.model, legacy.answers()) <= 1e-5


def test_a_graph_that_this_tensorflow_cannot_run_leaves_the_weights(
    legacy: Legacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path, *_: Any) -> np.ndarray:
        raise InputError(f"The SavedModel {folder} cannot be run")

    monkeypatch.setattr(saved_model, "try_graph", fail)
    loaded = load_model(legacy.saved_model)
    assert "could not be compared with its graph" in loaded.notes[0]
    assert "difference" not in loaded.provenance
    assert largest_difference(loaded.model, legacy.answers()) <= 1e-5


@pytest.mark.usefixtures("tried_here")
def test_another_epsilon_is_found_out_by_the_graph(
    legacy: Legacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_model, "EPSILONS", (0.3, 0.03, 1e-6))
    loaded = load_model(legacy.saved_model)
    assert not loaded.is_graph
    assert loaded.model.get_layer("norm").epsilon == 1e-6
    monkeypatch.setattr(saved_model, "EPSILONS", (0.3, 0.03))
    assert load_model(legacy.saved_model).is_graph


@pytest.mark.usefixtures("tried_here")
def test_the_files_of_the_optimizer_and_of_keras_are_not_needed(
    legacy: Legacy, tmp_path: Path
) -> None:
    folder = shutil.copytree(legacy.saved_model, tmp_path / "bare")
    (folder / "keras_metadata.pb").unlink()
    (folder / "fingerprint.pb").unlink()
    assert not load_model(folder).is_graph


@pytest.mark.slow
def test_the_published_size(tmp_path: Path) -> None:
    legacy = train_legacy(tmp_path / "published", PUBLISHED, optimizer="adamw")
    loaded = load_model(legacy.saved_model)
    # 21,787,748 trained numbers, and mean, variance and count of the normalisation.
    assert loaded.model.count_params() == 21_787_748 + 7
    assert len(loaded.model.weights) == 152
    assert largest_difference(loaded.model, legacy.answers()) <= 1e-5
    result = Export(legacy.saved_model).run(Target("onnx", tmp_path / "x.onnx"))
    assert result.verification is not None
    assert result.verification.passed
