"""Every app says of a picture what `predict` and Keras say of it."""

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.command_line import Artifacts
from tests.support.keras_models import keras_probabilities, tiny_file
from tests.support.node_process import REPOSITORY, find_program
from tests.support.odd_pictures import write_unusable
from tests.support.predictions import predicted
from tests.support.running_apps import Ended, largest_difference, run_app
from tests.support.tiny_artifacts import (
    CLASSES,
    SIZE,
    append_zip,
    onnx_model,
    tiny_manifest,
    write_onnx,
    write_tflite,
)
from vitsd_export.artifact.manifest import MANIFEST_KEY, TensorSpec
from vitsd_export.data.labels import CIFAR10_CLASSES

PYTHON_APP = REPOSITORY / "apps" / "python"
# App, and the artifact it is given.
KINDS = [
    ("onnx", "onnx"),
    ("onnx", "onnx_int8"),
    ("litert", "tflite"),
    ("litert", "int8"),
    ("node", "onnx"),
    ("node", "onnx_int8"),
]
APPS = [("onnx", "onnx"), ("litert", "tflite"), ("node", "onnx")]


@pytest.fixture
def command(app: str, request: pytest.FixtureRequest) -> list[object]:
    if app == "node":
        return [find_program("node"), request.getfixturevalue("node_app") / "classify.mjs"]
    return [sys.executable, PYTHON_APP / f"classify_{app}.py"]


@pytest.mark.parametrize(("app", "kind"), KINDS)
def test_all_bundled_images_get_the_answers_of_the_runner(
    command: list[object], kind: str, exported: Artifacts, bundled_pictures: list[Path]
) -> None:
    artifact = getattr(exported, kind)
    ended = run_app(command, artifact, *bundled_pictures, "--json")
    assert (ended.exit_code, ended.errors) == (0, [])
    reference = predicted(artifact, bundled_pictures, len(CIFAR10_CLASSES))
    assert largest_difference(ended.answers, reference) <= 1e-4


@pytest.mark.parametrize(("app", "kind"), APPS)
def test_bundled_images_get_the_answers_of_keras(
    command: list[object],
    kind: str,
    exported: Artifacts,
    bundled_pictures: list[Path],
    images: np.ndarray,
) -> None:
    ended = run_app(command, getattr(exported, kind), *bundled_pictures[:64], "--json")
    expected = keras_probabilities(tiny_file(), images[:64])
    rows = [[classes[name] for name in CIFAR10_CLASSES] for classes in ended.answers.values()]
    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("app", "kind"), APPS)
def test_pictures_of_every_kind_get_the_same_answer(
    command: list[object], kind: str, exported: Artifacts, odd_pictures: list[Path]
) -> None:
    artifact = getattr(exported, kind)
    ended = run_app(command, artifact, *odd_pictures, "--json")
    assert (ended.exit_code, ended.errors) == (0, [])
    reference = predicted(artifact, odd_pictures, len(CIFAR10_CLASSES))
    lossy = {name for name in reference if name.endswith(".jpg")}
    assert 0 < len(lossy) < len(reference)
    # Decoders of JPEG may round by a level or two.
    for names, limit in ((lossy, 5e-3), (reference.keys() - lossy, 1e-4)):
        part = {name: ended.answers[name] for name in names}
        assert largest_difference(part, {name: reference[name] for name in names}) <= limit


@pytest.mark.parametrize("app", ["onnx", "node"])
def test_a_fixed_batch_of_floats_and_logits_are_heeded(
    command: list[object], odd_pictures: list[Path], tmp_path: Path
) -> None:
    shape = (3, SIZE, SIZE, 3)
    manifest = dataclasses.replace(
        tiny_manifest("onnx", "logits"),
        input=TensorSpec("image", "float32", shape, "pixels 0-255 RGB"),
    )
    model = onnx_model(
        shape=shape,
        dtype="float32",
        output="logits",
        softmax=False,
        metadata={MANIFEST_KEY: manifest.to_json()},
    )
    artifact = tmp_path / "logits.onnx"
    artifact.write_bytes(model.SerializeToString())
    ended = run_app(command, artifact, *odd_pictures[:4], "--json")
    assert (ended.exit_code, ended.errors) == (0, [])
    reference = predicted(artifact, odd_pictures[:4], CLASSES)
    assert largest_difference(ended.answers, reference) <= 1e-5


def test_a_fixed_batch_of_litert_is_heeded(odd_pictures: list[Path], tmp_path: Path) -> None:
    artifact = write_tflite(tmp_path / "four.tflite", with_manifest=False, batch=4)
    shape = (4, SIZE, SIZE, 3)
    append_zip(
        artifact,
        dataclasses.replace(
            tiny_manifest("tflite"), input=TensorSpec("image", "uint8", shape, "pixels 0-255 RGB")
        ),
    )
    command = [sys.executable, PYTHON_APP / "classify_litert.py"]
    ended = run_app(command, artifact, *odd_pictures[:4], "--json")
    assert (ended.exit_code, ended.errors) == (0, [])
    reference = predicted(artifact, odd_pictures[:4], CLASSES)
    assert largest_difference(ended.answers, reference) <= 1e-5


@pytest.mark.parametrize("app", ["onnx", "litert", "node"])
def test_a_model_of_another_tool_is_told(command: list[object], app: str, tmp_path: Path) -> None:
    if app == "litert":
        artifact = write_tflite(tmp_path / "foreign.tflite", with_manifest=False)
        reason = "cut short"
    else:
        artifact = write_onnx(tmp_path / "foreign.onnx", with_manifest=False)
        reason = "not written by vitsd-export"
    assert_refused(run_app(command, artifact, tmp_path / "any.png"), reason)


def test_a_folder_stands_for_its_pictures(
    exported: Artifacts, odd_pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "deep").mkdir()
    shutil.copy(odd_pictures[0], tmp_path / "deep" / "b.PNG")
    shutil.copy(odd_pictures[1], tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no picture")
    command = [sys.executable, PYTHON_APP / "classify_onnx.py"]
    ended = run_app(command, exported.onnx, tmp_path, "--json")
    assert (ended.exit_code, ended.errors) == (0, [])
    assert list(ended.answers) == [str(tmp_path / "a.png"), str(tmp_path / "deep" / "b.PNG")]


@pytest.mark.parametrize(("app", "kind"), APPS)
def test_what_is_no_picture_is_told_and_the_others_are_answered(
    command: list[object],
    kind: str,
    exported: Artifacts,
    bundled_pictures: list[Path],
    tmp_path: Path,
) -> None:
    unusable = list(write_unusable(tmp_path))
    ended = run_app(command, getattr(exported, kind), *unusable, bundled_pictures[0], "--top", 1)
    assert ended.exit_code == 3
    assert len(ended.errors) == len(unusable)
    for line, path in zip(ended.errors, unusable, strict=True):
        assert line.startswith(f"error: {path}: ")
    name, answer = ended.stdout.splitlines()
    assert name == str(bundled_pictures[0])
    assert answer.split()[0].endswith("%")
    assert answer.split()[1] in CIFAR10_CLASSES


@pytest.mark.slow
@pytest.mark.parametrize(("app", "kind"), APPS)
def test_a_picture_of_100_megapixels_is_answered(
    command: list[object], kind: str, exported: Artifacts, tmp_path: Path
) -> None:
    path = tmp_path / "large.png"
    row = np.linspace(0, 255, 10_000, dtype=np.uint8)
    Image.fromarray(np.broadcast_to(row, (10_000, 10_000)).copy()).save(path, compress_level=1)
    artifact = getattr(exported, kind)
    ended = run_app(command, artifact, path, "--json")
    assert (ended.exit_code, ended.errors) == (0, [])
    reference = predicted(artifact, [path], len(CIFAR10_CLASSES))
    assert largest_difference(ended.answers, reference) <= 1e-4


@pytest.mark.parametrize(("app", "kind"), APPS)
@pytest.mark.parametrize("left", [0.5, 0.999])
def test_a_model_cut_short_is_told(
    command: list[object], kind: str, left: float, exported: Artifacts, tmp_path: Path
) -> None:
    whole = getattr(exported, kind)
    cut = tmp_path / whole.name
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * left)])
    ended = run_app(command, cut, tmp_path / "any.png")
    assert_refused(ended, "cut short")


@pytest.mark.parametrize(("app", "kind"), APPS)
def test_a_model_that_is_not_there_is_told(
    command: list[object], kind: str, tmp_path: Path
) -> None:
    assert_refused(run_app(command, tmp_path / "none", tmp_path / "any.png"), "no such file")


@pytest.mark.parametrize("app", ["onnx", "litert", "node"])
@pytest.mark.parametrize("wrong", [[], ["model"], ["model", "picture", "--top", "0"], ["--no"]])
def test_wrong_usage_is_told(command: list[object], wrong: list[str]) -> None:
    ended = run_app(command, *wrong)
    assert ended.exit_code == 2
    assert "usage:" in ended.stderr
    assert "Traceback" not in ended.stderr


def assert_refused(ended: Ended, reason: str) -> None:
    assert ended.exit_code == 3
    assert len(ended.errors) == 1
    assert reason in ended.errors[0]
    assert ended.stdout == ""
