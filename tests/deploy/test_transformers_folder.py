"""Folders that Transformers and Optimum load."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.support.command_line import Artifacts, run_command
from tests.support.keras_models import softmax
from tests.support.tiny_artifacts import SIZE, write_onnx
from vitsd_export.data.labels import CIFAR10_CLASSES
from vitsd_export.deploy.transformers_folder import write_transformers_folder
from vitsd_export.errors import InputError, UsageError


def logits_of(file: Path, images: np.ndarray) -> np.ndarray:
    """What the file says of [N, size, size, 3] pixels, given as Transformers gives them."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    pixels = images.transpose(0, 3, 1, 2).astype(np.float32)
    (logits,) = session.run(["logits"], {"pixel_values": pixels})
    return np.asarray(logits)


def answers_of(file: Path, images: np.ndarray) -> np.ndarray:
    """What an artifact says of them."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (answers,) = session.run(None, {session.get_inputs()[0].name: images})
    return np.asarray(answers)


@pytest.mark.parametrize(
    ("kind", "name"), [("onnx", "model.onnx"), ("onnx_int8", "model_quantized.onnx")]
)
def test_the_file_answers_as_the_artifact(
    kind: str, name: str, exported: Artifacts, images: np.ndarray, tmp_path: Path
) -> None:
    file = write_transformers_folder(getattr(exported, kind), tmp_path / "site")
    assert file == tmp_path / "site" / "onnx" / name
    expected = answers_of(getattr(exported, kind), images[:20])
    np.testing.assert_allclose(softmax(logits_of(file, images[:20])), expected, atol=1e-6)


@pytest.mark.parametrize("meaning", ["logits", "probabilities"])
def test_whatever_ends_the_graph(meaning: str, images: np.ndarray, tmp_path: Path) -> None:
    artifact = write_onnx(tmp_path / "m.onnx", softmax=meaning == "probabilities")
    file = write_transformers_folder(artifact, tmp_path / "site")
    small = images[:3, :SIZE, :SIZE]
    expected = answers_of(artifact, small)
    found = logits_of(file, small)
    if meaning == "probabilities":
        found, expected = softmax(found), expected / expected.sum(1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_labels_and_preprocessing(exported: Artifacts, tmp_path: Path) -> None:
    write_transformers_folder(exported.onnx, tmp_path / "site")
    config = json.loads((tmp_path / "site" / "config.json").read_text())
    assert list(config["id2label"].values()) == list(CIFAR10_CLASSES)
    assert config["label2id"]["cat"] == 3
    preprocessing = json.loads((tmp_path / "site" / "preprocessor_config.json").read_text())
    assert preprocessing["crop_size"] == {"height": 32, "width": 32}
    assert not preprocessing["do_rescale"]


def test_a_second_scheme_joins_the_folder(exported: Artifacts, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    write_transformers_folder(exported.onnx, folder)
    with pytest.raises(UsageError, match="force"):
        write_transformers_folder(exported.onnx_int8, folder)
    write_transformers_folder(exported.onnx_int8, folder, force=True)
    assert sorted(path.name for path in (folder / "onnx").iterdir()) == [
        "model.onnx",
        "model_quantized.onnx",
    ]


def test_other_formats_are_refused(exported: Artifacts, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Export the model to ONNX"):
        write_transformers_folder(exported.tflite, tmp_path / "site")
    outcome = run_command("app", "transformers", exported.saved_model, "-o", tmp_path / "site")
    assert outcome.exit_code == 3
    assert not (tmp_path / "site").exists()
