"""SavedModels of other make: run as they are, or refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.support.command_line import Artifacts, run_command
from tests.support.keras_models import softmax
from vitsd_export.errors import InputError, UsageError
from vitsd_export.runtimes import open_runner
from vitsd_export.sources import graph_trial
from vitsd_export.sources.checkpoint import load_model

SIZE, CLASSES = 8, 3
IMAGES = tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32, name="images")


class Tiny(tf.Module):
    """A linear classifier, and whatever is done with its images before."""

    def __init__(self, before: Callable[[Any], Any] = lambda images: images) -> None:
        super().__init__()
        kernel = np.random.default_rng(0).normal(size=(3, CLASSES)).astype(np.float32)
        self.kernel = tf.Variable(kernel)
        self.before = before

    def __call__(self, images: Any) -> dict[str, Any]:
        x = tf.reduce_mean(self.before(images), axis=(1, 2))
        return {"scores": tf.matmul(tf.reshape(tf.cast(x, tf.float32), (-1, 3)), self.kernel)}


def save(module: tf.Module, folder: Path, *specs: Any, **options: Any) -> Path:
    function = tf.function(module.__call__, input_signature=list(specs or (IMAGES,)))
    tf.saved_model.save(
        module, str(folder), signatures=options.get("signatures", function.get_concrete_function())
    )
    return folder


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        load_model(folder, **options)
    message = str(caught.value)
    assert str(folder) in message
    assert "\n" not in message
    return message


# What can be used.


def test_a_saved_model_of_keras_3_is_verified_from_the_command_line(
    exported_network: Path, logits: np.ndarray, images: np.ndarray, tmp_path: Path
) -> None:
    target = tmp_path / "x.onnx"
    outcome = run_command("onnx", "--model", exported_network, "-o", target, "--json")
    assert outcome.exit_code == 0, outcome.stderr
    assert "its graph is exported as it is" in outcome.stderr
    assert json.loads(outcome.stdout)["artifacts"][0]["verification"]["passed"]
    with open_runner(target) as runner:
        np.testing.assert_allclose(runner.run(images), softmax(logits), atol=1e-5)
        assert runner.manifest is not None
        assert runner.manifest.source["form"] == "SavedModel, graph"
        assert runner.manifest.source["parameters"] > 20_000


@pytest.mark.usefixtures("tried_here")
@pytest.mark.parametrize(("command", "name"), [("tflite", "x.tflite"), ("saved-model", "x")])
def test_the_other_formats_of_it_are_verified(
    exported_network: Path,
    logits: np.ndarray,
    images: np.ndarray,
    tmp_path: Path,
    command: str,
    name: str,
) -> None:
    target = tmp_path / name
    outcome = run_command(command, "--model", exported_network, "-o", target)
    assert outcome.exit_code == 0, outcome.stderr
    with open_runner(target) as runner:
        np.testing.assert_allclose(runner.run(images), softmax(logits), atol=1e-5)


@pytest.mark.usefixtures("tried_here")
def test_what_this_program_has_exported_can_be_a_source(
    small_artifacts: Artifacts, images: np.ndarray
) -> None:
    loaded = load_model(small_artifacts.saved_model)
    assert loaded.labels is not None
    assert loaded.labels[0] == "airplane"
    with open_runner(small_artifacts.saved_model) as runner:
        np.testing.assert_allclose(
            loaded.model(images[:8].astype(np.float32)), runner.run(images[:8]), atol=1e-6
        )
    with pytest.raises(UsageError, match="takes whole pixels"):
        load_model(small_artifacts.saved_model, input_range="0-1")


@pytest.mark.usefixtures("tried_here")
def test_a_graph_is_given_the_range_it_was_trained_on(tmp_path: Path) -> None:
    module = Tiny()
    folder = save(module, tmp_path / "tiny")
    pixels = np.random.default_rng(1).uniform(0, 255, (5, SIZE, SIZE, 3)).astype(np.float32)
    loaded = load_model(folder, input_range="-1-1")
    expected = pixels.astype(np.float64).mean(axis=(1, 2)) / 127.5 - 1
    np.testing.assert_allclose(loaded.model(pixels), expected @ module.kernel.numpy(), atol=1e-5)


def test_a_preset_is_refused(exported_network: Path) -> None:
    with pytest.raises(UsageError, match="its own architecture"):
        load_model(exported_network, preset="vit-tiny")


# What cannot.


def read_file(images: Any) -> Any:
    text = tf.io.read_file("/etc/hostname")
    return images + tf.cast(tf.strings.length(text), tf.float32)


def write_file(images: Any) -> Any:
    with tf.control_dependencies([tf.io.write_file("/tmp/written", "x")]):
        return tf.identity(images)


def list_files(images: Any) -> Any:
    return images + tf.cast(tf.size(tf.io.matching_files("/etc/*")), tf.float32)


def run_python(images: Any) -> Any:
    return tf.reshape(tf.py_function(lambda x: x, [images], tf.float32), (-1, SIZE, SIZE, 3))


def run_numpy(images: Any) -> Any:
    values = tf.numpy_function(lambda x: x, [images], tf.float32, stateful=False)
    return tf.reshape(values, (-1, SIZE, SIZE, 3))


def print_out(images: Any) -> Any:
    tf.print(images, output_stream="file:///tmp/printed")
    return images


def restore(images: Any) -> Any:
    return images + tf.raw_ops.RestoreV2(
        prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
    )


def save_elsewhere(images: Any) -> Any:
    tf.raw_ops.SaveV2(prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], tensors=[images])
    return images


def inside_a_branch(images: Any) -> Any:
    return tf.cond(tf.reduce_sum(images) > 0, lambda: read_file(images), lambda: images)


def data_set(images: Any) -> Any:
    lines = tf.data.TextLineDataset("/etc/hostname")
    return images + tf.cast(lines.reduce(tf.constant(0), lambda n, _: n + 1), tf.float32)


@pytest.mark.parametrize(
    ("before", "operator"),
    [
        (read_file, "ReadFile"),
        (write_file, "WriteFile"),
        (list_files, "MatchingFiles"),
        (run_python, "EagerPyFunc"),
        (run_numpy, "PyFuncStateless"),
        (print_out, "PrintV2"),
        (restore, "RestoreV2"),
        (save_elsewhere, "SaveV2"),
        (inside_a_branch, "ReadFile"),
        (data_set, "TextLineDataset"),
    ],
)
def test_operators_that_reach_outside_are_refused(
    before: Any, operator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.saved_model, "load", None)
    message = refusal(save(Tiny(before), tmp_path / "tiny"))
    assert operator in message
    assert "refused" in message
    assert "Nothing of it was run" in message


class WritesWhenLoaded(tf.Module):
    """Its table is filled from a file before anything is asked of it."""

    def __init__(self, vocabulary: Path) -> None:
        super().__init__()
        vocabulary.write_text("a\nb\n")
        line = tf.lookup.TextFileIndex
        start = tf.lookup.TextFileInitializer(
            str(vocabulary), tf.string, line.WHOLE_LINE, tf.int64, line.LINE_NUMBER
        )
        self.table = tf.lookup.StaticHashTable(start, -1)

    def __call__(self, images: Any) -> dict[str, Any]:
        found = self.table.lookup(tf.constant("a"))
        return {"scores": tf.reduce_mean(images, axis=(1, 2)) + tf.cast(found, tf.float32)}


def test_files_read_while_loading_are_refused(tmp_path: Path) -> None:
    folder = save(WritesWhenLoaded(tmp_path / "words.txt"), tmp_path / "table")
    message = refusal(folder)
    assert "InitializeTableFromTextFileV2" in message


@pytest.mark.usefixtures("tried_here")
@pytest.mark.parametrize(
    ("spec", "word"),
    [
        (tf.TensorSpec((None, 8, 9, 3), tf.float32), "square RGB"),
        (tf.TensorSpec((None, 8, 8, 1), tf.float32), "square RGB"),
        (tf.TensorSpec((None, None, None, 3), tf.float32), "fixed size"),
        (tf.TensorSpec(None, tf.float32), "square RGB"),
        (tf.TensorSpec((2, 8, 8, 3), tf.float32), "batches of exactly 2"),
        (tf.TensorSpec((None, 9999, 9999, 3), tf.float32), "9999 pixels"),
        (tf.TensorSpec((None,), tf.string), "takes string"),
        (tf.TensorSpec((None, 8, 8, 3), tf.int64), "takes int64"),
    ],
)
def test_another_input_is_refused(spec: Any, word: str, tmp_path: Path) -> None:
    def first(images: Any) -> Any:
        return tf.zeros((1, 1, 1, 3)) if spec.dtype == tf.string else images

    module = Tiny(first)
    module.__call__ = lambda images: {"scores": tf.zeros((1, 3))}  # type: ignore[method-assign]
    assert word in refusal(save(_Constant(), tmp_path / "tiny", spec))


class _Constant(tf.Module):
    def __call__(self, images: Any) -> dict[str, Any]:
        return {"scores": tf.zeros((1, 3))}


class _TwoOutputs(tf.Module):
    def __call__(self, images: Any) -> dict[str, Any]:
        return {"a": tf.zeros((1, 3)), "b": tf.zeros((1, 3))}


class _OneAnswerAPixel(tf.Module):
    def __call__(self, images: Any) -> dict[str, Any]:
        return {"scores": images}


def test_two_outputs_are_refused(tmp_path: Path) -> None:
    assert "1 inputs and 2 outputs" in refusal(save(_TwoOutputs(), tmp_path / "tiny"))


@pytest.mark.usefixtures("tried_here")
@pytest.mark.parametrize("module", [_Constant, _OneAnswerAPixel])
def test_another_answer_is_refused(module: Any, tmp_path: Path) -> None:
    assert "expected one score a class" in refusal(save(module(), tmp_path / "tiny"))


def test_a_graph_without_a_signature_is_refused(tmp_path: Path) -> None:
    module = tf.Module()
    tf.saved_model.save(module, str(tmp_path / "none"))
    assert "no signature serving_default (it has none)" in refusal(tmp_path / "none")


@pytest.mark.parametrize(
    "name",
    ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"],
)
def test_a_missing_file_is_told(name: str, tmp_path: Path) -> None:
    folder = save(Tiny(), tmp_path / "tiny")
    (folder / name).unlink()
    words = {"saved_model.pb": "holds no model"}
    assert words.get(name, "incomplete") in refusal(folder)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "holds no model" in refusal(tmp_path)


# The trial.


@pytest.mark.parametrize(
    ("program", "words"),
    [
        # As TensorFlow does when a check of its own fails.
        ("echo 'Check failed: it fits' >&2; kill -ABRT $$", ["crashes TensorFlow", "it fits"]),
        ("exec sleep 60", ["does not answer within 1 seconds"]),
        ("exit 0", ["cannot be run", "no message"]),
    ],
)
def test_a_trial_that_fails_is_told(
    program: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(Tiny(), tmp_path / "tiny")
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!/bin/sh\n{program}\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(interpreter))
    monkeypatch.setattr(graph_trial, "LIMIT_SECONDS", 1.0)
    message = refusal(folder)
    assert all(word in message for word in words)
