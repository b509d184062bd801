"""Writing SavedModels."""

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.support.keras_models import loaded, small_transformer, softmax
from tests.support.tiny_artifacts import tiny_manifest
from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.exporters.formats.saved_model import SavedModelExporter
from vitsd_export.exporters.saved_model import write_saved_model
from vitsd_export.lowering.graph import WindowTokenizer
from vitsd_export.lowering.inference_graph import InferenceGraph


@pytest.fixture(scope="module")
def model() -> Any:
    """A small transformer."""
    return small_transformer()


@pytest.fixture(scope="module")
def folder(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It as a SavedModel."""
    target = tmp_path_factory.mktemp("saved_model") / "model"
    with quiet_converters():
        write_saved_model(InferenceGraph(loaded(model), answers_probabilities=False), target)
    return target


def test_it_loads_without_keras_and_its_layers(
    model: Any, folder: Path, images: np.ndarray
) -> None:
    restored = tf.saved_model.load(str(folder))
    assert not hasattr(restored, "layers")
    answers = restored.signatures["serving_default"](image=tf.constant(images[:5]))
    expected = softmax(np.asarray(model(images[:5].astype(np.float32), training=False)))
    np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-5)


def stored_numbers(folder: Path) -> int:
    """How many numbers the variables of a SavedModel have."""
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    return sum(
        int(np.prod(shape))
        for name, shape in reader.get_variable_to_shape_map().items()
        if name.endswith(".ATTRIBUTES/VARIABLE_VALUE") and not name.startswith("save_counter")
    )


def test_it_holds_the_weights_once(model: Any, tmp_path: Path) -> None:
    graph = InferenceGraph(loaded(model), answers_probabilities=False, lowering=False)
    with quiet_converters():
        write_saved_model(graph, tmp_path / "model")
    # Normalisation keeps mean and variance as constants, which are no weights of the function.
    assert 0 <= model.count_params() - stored_numbers(tmp_path / "model") <= 16


def test_lowered_it_holds_the_kernels_and_biases_once(model: Any, tmp_path: Path) -> None:
    graph = InferenceGraph(loaded(model), answers_probabilities=False)
    for name, batch in (("any", None), ("one", 1)):
        with quiet_converters():
            write_saved_model(graph, tmp_path / name, batch=batch)
    lowered = graph.lowered
    assert lowered is not None
    assert isinstance(lowered.tokenizer, WindowTokenizer)
    layers = [lowered.tokenizer.columns, lowered.tokenizer.projection, lowered.head.logits]
    for block in lowered.blocks:
        attention = block.attention
        layers += [attention.query, attention.key, attention.value, attention.output, *block.mlp]
    # What sums the pixels of a window is used for the mean and for the variance, there with a bias.
    wanted = 2 * lowered.tokenizer.pixel_weights.size + 1
    for layer in layers:
        wanted += layer.kernel.size + (0 if layer.bias is None else layer.bias.size)
    assert stored_numbers(tmp_path / "any") == stored_numbers(tmp_path / "one") == wanted


def test_the_manifest_lies_where_tensorflow_does_not_look(folder: Path) -> None:
    manifest = tiny_manifest("saved_model", labels=tuple(f"größe {index}" for index in range(10)))
    SavedModelExporter().embed_manifest(folder, manifest)
    extras = folder / "assets.extra"
    told = json.loads((extras / "vitsd_export.json").read_text(encoding="utf-8"))
    assert told == json.loads(manifest.to_json())
    labels = (extras / "labels.txt").read_text(encoding="utf-8")
    assert labels.splitlines() == list(manifest.labels)
    assert "serving_default" in tf.saved_model.load(str(folder)).signatures


def test_a_full_disk_is_told_as_the_system_would(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    graph = InferenceGraph(loaded(model), answers_probabilities=False)
    with pytest.raises(OSError, match="No space left") as caught:
        write_saved_model(graph, tmp_path / "model")
    assert caught.value.errno == errno.ENOSPC
