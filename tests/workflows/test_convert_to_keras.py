"""Any source as a Keras 3 file: `vitsd-export convert`."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.support.any_classifiers import functional
from tests.support.command_line import run_command
from tests.support.keras_models import TINY_MODEL, small_config, small_transformer
from tests.support.legacy_models import Legacy
from tests.support.old_files import tree
from vitsd_export.lowering.reading import read_graph
from vitsd_export.model.config import PRESETS
from vitsd_export.sources.checkpoint import load_model
from vitsd_export.workflows import convert_to_keras as to_keras


def converted(source: object, target: Path, *options: object) -> dict[str, Any]:
    outcome = run_command("convert", source, target, "--json", *options)
    assert outcome.exit_code == 0, outcome.stderr
    document: dict[str, Any] = json.loads(outcome.stdout)
    assert document["bytes"] == target.stat().st_size
    assert document["sha256"] == load_model(target).sha256
    return document


@pytest.mark.usefixtures("tried_here")
def test_a_model_of_tf_keras_becomes_a_file_that_keras_reads(
    legacy: Legacy, tmp_path: Path
) -> None:
    target = tmp_path / "out.keras"
    document = converted(legacy.saved_model, target)
    assert document["difference"] == 0
    images, logits = legacy.answers()
    plain = keras.saving.load_model(target)
    assert np.abs(np.asarray(plain(images, training=False)) - logits).max() <= 1e-5
    loaded = load_model(target)
    assert loaded.labels is not None
    assert loaded.labels[:2] == ("apple", "aquarium_fish")
    assert loaded.card["converted_from"] == document["source"]
    assert document["source"]["form"] == "SavedModel of TF-Keras 2, weights mapped"
    assert read_graph(loaded.model).tokenizer.patch_size == 12
    assert list(tmp_path.iterdir()) == [target]


def test_weights_become_a_whole_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "small", small_config())
    small_transformer().save_weights(tmp_path / "w.weights.h5")
    target = tmp_path / "out.keras"
    outcome = run_command("convert", tmp_path / "w.weights.h5", target, "--preset", "small")
    assert outcome.exit_code == 0, outcome.stderr
    assert f"vitsd-export onnx --model {target}" in outcome.stdout
    pixels = np.ones((2, 32, 32, 3), np.float32)
    np.testing.assert_array_equal(load_model(target).model(pixels), small_transformer()(pixels))


def test_what_was_said_of_the_source_is_in_the_file(tmp_path: Path) -> None:
    model = functional(classes=1)
    model.save(tmp_path / "one.keras")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    target = tmp_path / "out.keras"
    options = ("--input-range", "0-1", "--labels", tmp_path / "labels.txt")
    converted(tmp_path / "one.keras", target, *options)
    loaded = load_model(target)
    assert loaded.labels == ("cat", "dog")
    assert loaded.notes == ()
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3)).astype(np.float32)
    scores = np.asarray(model(pixels / 255))[:, 0]
    np.testing.assert_allclose(loaded.model(pixels), np.stack([0 * scores, scores], 1), atol=1e-5)


def test_a_bare_graph_cannot_be_converted(
    exported_network: Path, tmp_path: Path, tried_here: None
) -> None:
    outcome = run_command("convert", exported_network, tmp_path / "out.keras")
    assert outcome.exit_code == 3
    assert "graph without layers" in outcome.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "options", "code", "word"),
    [
        ("out.h5", (), 2, "must end in .keras"),
        ("nowhere/out.keras", (), 3, "does not exist"),
        ("folder.keras", (), 2, "is a folder"),
        ("out.keras", ("--labels", "fine"), 3, "fine has 100 labels; the model has 10 classes"),
        ("out.keras", ("--preset", "vit-tiny"), 2, "its own architecture"),
    ],
)
def test_what_cannot_be_written_is_told(
    target: str, options: Any, code: int, word: str, small_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder.keras").mkdir()
    before = tree(tmp_path)
    outcome = run_command("convert", small_model, tmp_path / target, *options)
    assert outcome.exit_code == code
    assert word in outcome.error
    assert tree(tmp_path) == before


class ForgetsItsState(keras.layers.Layer):
    """Saves nothing of what it computes with."""

    factor = 1.0

    def call(self, x: Any) -> Any:
        return x * self.factor


def test_a_file_that_answers_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = functional()
    layer = ForgetsItsState()
    layer.factor = 2.0
    changed = keras.Model(model.input, layer(model.output))
    real = load_model

    def load(source: Any, **options: Any) -> Any:
        if str(source).endswith("source.keras"):
            loaded = real(TINY_MODEL)
            object.__setattr__(loaded, "model", changed)
            object.__setattr__(loaded, "card", {"labels": ["a", "b", "c"]})
            return loaded
        with keras.saving.custom_object_scope({"ForgetsItsState": ForgetsItsState}):
            return real(source, **options)

    monkeypatch.setattr("vitsd_export.sources.checkpoint.load_model", load)
    monkeypatch.setattr(to_keras, "locate", lambda source: source)
    target = tmp_path / "out.keras"
    target.write_bytes(b"old")
    outcome = run_command("convert", "source.keras", target)
    assert outcome.exit_code == 4
    assert "read again, its answers differ" in outcome.error
    assert target.read_bytes() == b"old"
