"""Options of the exporting commands, on a small model."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from tests.support.command_line import Artifacts, export_everything, run_command
from tests.support.keras_models import (
    keras_logits,
    keras_probabilities,
    small_config,
    small_transformer,
    softmax,
)
from vitsd_export.artifact.inspection import inspect_artifact
from vitsd_export.model.config import PRESETS
from vitsd_export.runtimes import open_runner
from vitsd_export.workflows.export import Export, Target

FORMATS = ("onnx", "tflite", "saved_model")


@pytest.fixture(scope="module")
def logits_of_floats(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """The small model with logits out and float32 pixels in."""
    folder = tmp_path_factory.mktemp("logits") / "out"
    return export_everything(
        small_model, "small", folder, "--answer", "logits", "--input", "float32"
    )


@pytest.mark.parametrize("kind", [*FORMATS, "int8"])
def test_logits_and_float_pixels(
    logits_of_floats: Artifacts, small_model: Path, images: np.ndarray, kind: str
) -> None:
    path = getattr(logits_of_floats, kind)
    (image,), (answer,) = inspect_artifact(path).graph.inputs, inspect_artifact(path).graph.outputs
    assert (image.name, image.dtype) == ("image", "float32")
    assert (answer.name, answer.dtype) == ("logits", "float32")
    with open_runner(path) as runner:
        assert runner.output_meaning == "logits"
        answers = runner.run(images[:32])
        assert runner.manifest is not None
        assert runner.manifest.output.meaning == "logits"
    expected = keras_logits(small_model, images[:32])
    tolerance = 0.05 * np.abs(expected).max() if kind == "int8" else 1e-4
    np.testing.assert_allclose(answers, expected, atol=tolerance)
    # They are no probabilities by chance.
    assert np.abs(answers.sum(axis=1) - 1).min() > 1e-3 or answers.min() < 0


@pytest.fixture(scope="module")
def export(small_model: Path) -> Export:
    """Exports of the small model."""
    return Export(small_model)


@pytest.mark.parametrize("opset", range(13, 27))
def test_every_opset_converts_and_runs(
    export: Export, small_model: Path, images: np.ndarray, tmp_path: Path, opset: int
) -> None:
    target = tmp_path / "x.onnx"
    result = export.run(Target("onnx", target, opset=opset))
    assert result.verification is not None
    assert result.verification.passed
    assert result.manifest.options["opset"] == opset
    model = onnx.load(target)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    assert model.ir_version == onnx.helper.find_min_ir_version_for(model.opset_import)
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    (answers,) = session.run(["probabilities"], {"image": images[:5]})
    np.testing.assert_allclose(answers, keras_probabilities(small_model, images[:5]), atol=1e-4)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_fixed_batch(small_model: Path, images: np.ndarray, tmp_path: Path, kind: str) -> None:
    target = tmp_path / {"onnx": "x.onnx", "tflite": "x.tflite", "saved_model": "x"}[kind]
    outcome = run_command(
        kind.replace("_", "-"), "--model", small_model, "--batch", 4, "-o", target
    )
    assert outcome.exit_code == 0, outcome.stderr
    info = inspect_artifact(target)
    assert info.graph.inputs[0].shape == (4, 32, 32, 3)
    assert info.graph.outputs[0].shape == (4, 10)
    assert info.manifest is not None
    assert info.manifest.input.shape == (4, 32, 32, 3)
    assert info.manifest.options["batch"] == 4
    with open_runner(target) as runner:
        # A number of images that is no multiple of the batch.
        answers = runner.run(images[:6])
    np.testing.assert_allclose(answers, keras_probabilities(small_model, images[:6]), atol=1e-4)


def test_onnx_of_fixed_batch_refuses_others(
    export: Export, images: np.ndarray, tmp_path: Path
) -> None:
    export.run(Target("onnx", tmp_path / "x.onnx", batch=4))
    session = onnxruntime.InferenceSession(
        str(tmp_path / "x.onnx"), providers=["CPUExecutionProvider"]
    )
    assert session.run(None, {"image": images[:4]})[0].shape == (4, 10)
    with pytest.raises(InvalidArgument, match="invalid dimensions"):
        session.run(None, {"image": images[:3]})


def test_int8_with_a_batch_that_the_calibration_images_do_not_fill(
    export: Export, small_artifacts: Artifacts, images: np.ndarray, tmp_path: Path
) -> None:
    result = export.run(Target("tflite", tmp_path / "x.tflite", "int8", batch=3))
    assert result.manifest.calibration is not None
    assert result.manifest.calibration["count"] == 512
    with open_runner(tmp_path / "x.tflite") as batched, open_runner(small_artifacts.int8) as single:
        np.testing.assert_allclose(batched.run(images[:7]), single.run(images[:7]), atol=1e-5)


@pytest.mark.parametrize("batch", ["0", "-1", "two", ""])
@pytest.mark.parametrize("command", ["onnx", "saved-model", "tflite"])
def test_a_batch_that_is_no_number_is_refused(tmp_path: Path, command: str, batch: str) -> None:
    outcome = run_command(command, f"--batch={batch}", "-o", tmp_path / "x")
    assert outcome.exit_code == 2
    assert "--batch" in outcome.stderr
    assert list(tmp_path.iterdir()) == []


def test_labels_from_a_file(small_model: Path, tmp_path: Path) -> None:
    names = [f"Klasse {letter}" for letter in "ÄBCDEFGHIJ"]
    labels, target = tmp_path / "labels.txt", tmp_path / "x.onnx"
    labels.write_text("\n".join(names) + "\n", encoding="utf-8")
    outcome = run_command("onnx", "--model", small_model, "--labels", labels, "-o", target)
    assert outcome.exit_code == 0, outcome.stderr
    properties = {entry.key: entry.value for entry in onnx.load(target).metadata_props}
    assert properties["labels"].splitlines() == names
    with open_runner(target) as runner:
        assert runner.labels == tuple(names)


@pytest.mark.parametrize(
    ("text", "word"), [("a\nb\nc\n", "3"), ("", "empty"), ("a\n" * 10, "twice"), (None, "labels")]
)
def test_labels_that_do_not_fit_are_refused(
    small_model: Path, tmp_path: Path, text: str | None, word: str
) -> None:
    labels = tmp_path / "labels.txt"
    if text is not None:
        labels.write_text(text, encoding="utf-8")
    outcome = run_command(
        "onnx", "--model", small_model, "--labels", labels, "-o", tmp_path / "x.onnx"
    )
    assert outcome.exit_code == 3
    assert word in outcome.error
    assert not (tmp_path / "x.onnx").exists()


def test_no_verify_records_that_nothing_was_verified(small_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.onnx"
    outcome = run_command("onnx", "--model", small_model, "--no-verify", "-o", target)
    assert outcome.exit_code == 0, outcome.stderr
    assert "not verified" in outcome.stdout
    beside = json.loads((tmp_path / "x.onnx.json").read_text(encoding="utf-8"))
    assert beside["verification"] is None
    with open_runner(target) as runner:
        assert runner.manifest is not None
        assert runner.manifest.verification is None


def test_the_table_and_the_next_command(small_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.onnx"
    outcome = run_command("onnx", "--model", small_model, "-o", target)
    assert outcome.exit_code == 0, outcome.stderr
    for words in ("max abs difference", "≤ 0.0001", "top-1 agreement", "100 %", "500 images"):
        assert words in outcome.stdout
    assert outcome.stdout.count("✓") == 3
    assert f"vitsd-export predict {target}" in outcome.stdout


def test_a_weights_file_exports_with_its_preset(
    images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "small", small_config())
    # As many classes as were trained, whatever the preset says.
    model = small_transformer(num_classes=4)
    model.save_weights(tmp_path / "tuned.weights.h5")
    outcome = run_command(
        "onnx",
        *("--model", tmp_path / "tuned.weights.h5", "--preset", "small"),
        *("-o", tmp_path / "x.onnx"),
    )
    assert outcome.exit_code == 0, outcome.stderr
    with open_runner(tmp_path / "x.onnx") as runner:
        answers = runner.run(images[:4])
        assert runner.labels == ("class 0", "class 1", "class 2", "class 3")
    logits = np.asarray(model(images[:4].astype(np.float32), training=False))
    np.testing.assert_allclose(answers, softmax(logits), atol=1e-4)


@pytest.mark.parametrize("command", ["onnx", "tflite", "saved-model"])
@pytest.mark.parametrize("answer", ["logits", "probabilities"])
def test_an_answer_given_as_the_output_is_told(command: str, answer: str) -> None:
    outcome = run_command(command, "--output", answer)
    assert outcome.exit_code == 2
    assert f"--answer {answer}" in outcome.error
