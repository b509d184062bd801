"""Input that cannot be used: the exit code, one paragraph that helps, and nothing changed."""

import errno
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from tests.support.cifar_layouts import random_images
from tests.support.command_line import Artifacts, Outcome, run_command
from tests.support.keras_models import small_config, small_transformer
from tests.support.old_files import old_artifact, tree
from vitsd_export.model.config import PRESETS


def check_refusal(outcome: Outcome, exit_code: int, *words: str) -> None:
    """Checks that a command ended as it should, with a paragraph that tells these things."""
    assert outcome.exit_code == exit_code, outcome.stderr
    assert outcome.stdout == ""
    for word in words:
        assert word in outcome.error
    assert len(outcome.error) < 1500


# Models.


class Unregistered(keras.layers.Layer):
    """A layer that the command line does not know."""

    def call(self, inputs: Any) -> Any:
        return inputs * 2


def dense_head(image: Any, x: Any) -> Any:
    return keras.Model(image, keras.layers.Dense(10)(keras.layers.Flatten()(x)))


def missing(path: Path) -> None:
    """Writes nothing."""


def a_folder(path: Path) -> None:
    path.mkdir()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("not a model")


def truncated(path: Path) -> None:
    small_transformer().save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_its_end(path: Path) -> None:
    small_transformer().save(path)
    path.write_bytes(path.read_bytes()[:-10])


def unknown_layer(path: Path) -> None:
    image = keras.Input((32, 32, 3))
    dense_head(image, Unregistered()(image)).save(path)


def lambda_layer(path: Path) -> None:
    image = keras.Input((32, 32, 3))
    dense_head(image, keras.layers.Lambda(lambda x: x * 2)(image)).save(path)


def one_channel(path: Path) -> None:
    image = keras.Input((32, 32, 1))
    dense_head(image, image).save(path)


def not_square(path: Path) -> None:
    image = keras.Input((32, 24, 3))
    dense_head(image, image).save(path)


def of_any_size(path: Path) -> None:
    image = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    keras.Model(image, keras.layers.Dense(10)(x)).save(path)


def not_images(path: Path) -> None:
    features = keras.Input((12,))
    keras.Model(features, keras.layers.Dense(10)(features)).save(path)


def two_inputs(path: Path) -> None:
    images = [keras.Input((32, 32, 3)), keras.Input((32, 32, 3))]
    dense_head(images, keras.layers.Add()(images)).save(path)


def one_answer_a_pixel(path: Path) -> None:
    image = keras.Input((32, 32, 3))
    keras.Model(image, keras.layers.Dense(10)(image)).save(path)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (missing, ["does not exist", "vit-tiny-cifar10"]),
        (a_folder, ["model.keras"]),
        (empty, ["model.keras", "cut short"]),
        (text, ["neither a .keras archive nor"]),
        (truncated, ["damaged"]),
        (without_its_end, ["damaged"]),
        (unknown_layer, ["Unregistered", "not known"]),
        (lambda_layer, ["Lambda", "refused"]),
        (one_channel, ["(None, 32, 32, 1)", "RGB"]),
        (not_square, ["(None, 32, 24, 3)", "square"]),
        (of_any_size, ["(None, None, None, 3)", "fixed size"]),
        (not_images, ["(None, 12)"]),
        (two_inputs, ["2 inputs"]),
        (one_answer_a_pixel, ["(None, 32, 32, 10)"]),
    ],
)
def test_a_model_that_cannot_be_used(
    tmp_path: Path, write: Callable[[Path], None], words: list[str]
) -> None:
    model, target = tmp_path / "model.keras", tmp_path / "out" / "x.onnx"
    target.parent.mkdir()
    before = old_artifact(target, "onnx")
    write(model)
    check_refusal(run_command("onnx", "--model", model, "-o", target), 3, *words)
    assert tree(target.parent) == before


def test_weights_that_do_not_fit_the_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "small", small_config())
    model, target = tmp_path / "w.weights.h5", tmp_path / "x.onnx"
    small_transformer(dim=24, mlp_units=(32, 24)).save_weights(model)
    command = ("onnx", "--model", model, "-o", target)
    check_refusal(run_command(*command, "--preset", "small"), 3, "do not fit the preset small")
    check_refusal(run_command(*command), 2, "--preset", "vit-small-ds")
    check_refusal(run_command(*command, "--preset", "vit-huge"), 2, "vit-huge", "vit-tiny")
    assert not target.exists()


def test_a_preset_for_a_model_that_has_its_own_architecture(
    small_model: Path, tmp_path: Path
) -> None:
    outcome = run_command(
        "onnx", "--model", small_model, "--preset", "vit-tiny", "-o", tmp_path / "x.onnx"
    )
    check_refusal(outcome, 2, "--preset")


# Where the artifacts go.


@pytest.mark.parametrize("command", ["onnx", "tflite", "saved-model"])
def test_an_output_folder_that_does_not_exist(
    small_model: Path, tmp_path: Path, command: str
) -> None:
    target = tmp_path / "nowhere" / "x"
    outcome = run_command(command, "--model", small_model, "-o", target)
    check_refusal(outcome, 3, str(target.parent), "does not exist")
    assert list(tmp_path.iterdir()) == []


def test_all_makes_its_folder_but_not_the_one_around_it(small_model: Path, tmp_path: Path) -> None:
    outcome = run_command("all", "--model", small_model, "--output-dir", tmp_path / "no" / "out")
    check_refusal(outcome, 3, str(tmp_path / "no"), "does not exist")
    (tmp_path / "file").write_text("")
    outcome = run_command("all", "--model", small_model, "--output-dir", tmp_path / "file")
    check_refusal(outcome, 3, "a file has that name")
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


def test_a_folder_that_cannot_be_written_to(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkdtemp

    # Not by permissions, which do not bind the superuser.
    def refuse(*arguments: Any, **options: Any) -> str:
        if options.get("dir") == tmp_path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return make(*arguments, **options)

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    outcome = run_command("onnx", "--model", small_model, "-o", tmp_path / "x.onnx")
    check_refusal(outcome, 5, str(tmp_path / "x.onnx"), "Permission denied", "--output")


def test_a_name_that_is_too_long(small_model: Path, tmp_path: Path) -> None:
    for length in (250, 300):
        outcome = run_command("onnx", "--model", small_model, "-o", tmp_path / ("x" * length))
        check_refusal(outcome, 5, "File name too long")
    assert list(tmp_path.iterdir()) == []


def fill_disk(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Makes the disk full when a kind of file is written."""
    import tensorflow as tf

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_in_tensorflow(*_: Any, **__: Any) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    if place == "onnx":
        monkeypatch.setattr("vitsd_export.exporters.onnx.write_model", full)
    elif place == "tflite":
        monkeypatch.setattr(
            "vitsd_export.exporters.formats.litert.LiteRTExporter.embed_manifest", full
        )
    elif place == "saved-model":
        monkeypatch.setattr(tf.saved_model, "save", full_in_tensorflow)
    else:
        monkeypatch.setattr("vitsd_export.artifact.manifest.Manifest.to_json", full)


@pytest.mark.parametrize("place", ["onnx", "tflite", "saved-model", "manifest"])
def test_a_full_disk(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    command = "onnx" if place == "manifest" else place
    target = tmp_path / "x"
    before = old_artifact(target, command)
    fill_disk(monkeypatch, place)
    outcome = run_command(command, "--model", small_model, "--no-verify", "-o", target)
    check_refusal(outcome, 5, "disk is full", str(target), "Free some space")
    assert tree(tmp_path) == before


def test_a_disk_that_is_full_when_the_manifest_beside_is_written(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_text

    def full(path: Path, *arguments: Any, **options: Any) -> int:
        if path.name.endswith(".onnx.json"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, *arguments, **options)

    target = tmp_path / "x.onnx"
    before = old_artifact(target, "onnx")
    monkeypatch.setattr(Path, "write_text", full)
    outcome = run_command("onnx", "--model", small_model, "--no-verify", "-o", target)
    check_refusal(outcome, 5, "disk is full")
    # A new artifact beside the old manifest would be taken for a damaged one.
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("command", "obstacle"),
    [
        ("saved-model", "folder of other things"),
        ("saved-model", "file"),
        ("onnx", "folder of other things"),
        ("tflite", "folder of other things"),
        ("onnx", "folder in place of the manifest"),
    ],
)
def test_something_else_in_the_artifacts_place(
    small_model: Path, tmp_path: Path, command: str, obstacle: str
) -> None:
    target = tmp_path / "target"
    if obstacle == "file":
        target.write_text("precious")
    elif obstacle == "folder of other things":
        target.mkdir()
        (target / "thesis.txt").write_text("precious")
    else:
        (tmp_path / "target.json").mkdir()
    before = tree(tmp_path)
    outcome = run_command(command, "--model", small_model, "-o", target)
    check_refusal(outcome, 2, str(target))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("opset", [-1, 0, 12, 27, 99])
def test_an_opset_out_of_range(small_model: Path, tmp_path: Path, opset: int) -> None:
    target = tmp_path / "x.onnx"
    before = old_artifact(target, "onnx")
    outcome = run_command("onnx", "--model", small_model, f"--opset={opset}", "-o", target)
    check_refusal(outcome, 2, str(opset), "13 to 26")
    assert tree(tmp_path) == before


# Calibration images.


def no_folder(folder: Path) -> None:
    folder.rmdir()


def nothing(folder: Path) -> None:
    """An empty folder."""


def text_files(folder: Path) -> None:
    (folder / "notes.txt").write_text("no image")


def images_that_are_text(folder: Path) -> None:
    for index in range(20):
        (folder / f"{index}.png").write_text("no image")


def one_damaged_image(folder: Path) -> None:
    few_images(folder, 20)
    victim = folder / "7.png"
    victim.write_bytes(victim.read_bytes()[:200])


def few_images(folder: Path, count: int = 15) -> None:
    for index, image in enumerate(random_images(count, 3)):
        Image.fromarray(image).save(folder / f"{index}.png")


class Trap:
    """Leaves a mark where a pickle that is loaded carelessly would leave damage."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def malicious_pickle(folder: Path) -> None:
    batch = {"data": Trap(folder / "trapped"), "labels": [0]}
    for index in range(1, 6):
        (folder / f"data_batch_{index}").write_bytes(pickle.dumps(batch, 2))


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (no_folder, ["no folder"]),
        (nothing, ["no images"]),
        (text_files, ["no images"]),
        (images_that_are_text, ["20 of the 20 images"]),
        (one_damaged_image, ["1 of the 20 images", "7.png"]),
        (few_images, ["15 calibration images", "16"]),
        (malicious_pickle, ["unsafe", "mkdir", "Nothing of it was executed"]),
    ],
)
def test_calibration_images_that_cannot_be_used(
    small_model: Path, tmp_path: Path, fill: Callable[[Path], None], words: list[str]
) -> None:
    folder, target = tmp_path / "images", tmp_path / "out" / "x.tflite"
    folder.mkdir()
    target.parent.mkdir()
    before = old_artifact(target, "tflite")
    fill(folder)
    outcome = run_command(
        *("tflite", "--quantize", "--model", small_model),
        *("--calibration-data", folder, "-o", target),
    )
    check_refusal(outcome, 3, *words)
    assert tree(target.parent) == before
    assert not (folder / "trapped").exists()


def test_too_few_calibration_images_asked_for(small_model: Path, tmp_path: Path) -> None:
    outcome = run_command(
        *("tflite", "--quantize", "--model", small_model),
        *("--calibration-samples", 8, "-o", tmp_path / "x.tflite"),
    )
    check_refusal(outcome, 3, "8 calibration images")


# Artifacts.


def cut(source: Path, target: Path) -> Path:
    """A copy of an artifact with half of its largest file, and no manifest beside it."""
    if source.is_dir():
        shutil.copytree(source, target)
        victim = max(target.rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    else:
        shutil.copy(source, target)
        victim = target
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    return target


@pytest.mark.parametrize("command", ["verify", "predict", "inspect"])
@pytest.mark.parametrize("kind", ["onnx", "tflite", "int8", "saved_model"])
def test_a_truncated_artifact(
    small_artifacts: Artifacts, small_model: Path, tmp_path: Path, command: str, kind: str
) -> None:
    source = getattr(small_artifacts, kind)
    artifact = cut(source, tmp_path / source.name)
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "black.png")
    rest = {"verify": ["--reference", small_model], "predict": [tmp_path / "black.png"]}
    outcome = run_command(command, artifact, *rest.get(command, []))
    check_refusal(outcome, 3, str(artifact))


@pytest.mark.parametrize("command", ["verify", "predict", "inspect"])
def test_an_artifact_that_is_none(small_model: Path, tmp_path: Path, command: str) -> None:
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "black.png")
    (tmp_path / "text.onnx").write_text("not a model")
    (tmp_path / "empty.tflite").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    rest = {"verify": ["--reference", small_model], "predict": [tmp_path / "black.png"]}
    for artifact in (
        tmp_path / "missing.onnx",
        tmp_path / "text.onnx",
        tmp_path / "empty.tflite",
        tmp_path / "folder",
        tmp_path / "black.png",
        small_model,
    ):
        outcome = run_command(command, artifact, *rest.get(command, []))
        check_refusal(outcome, 3, str(artifact))


def test_an_artifact_beside_the_manifest_of_another(
    small_artifacts: Artifacts, tmp_path: Path
) -> None:
    shutil.copy(small_artifacts.onnx, tmp_path / "x.onnx")
    other = small_artifacts.tflite
    shutil.copy(other.with_name(f"{other.name}.json"), tmp_path / "x.onnx.json")
    check_refusal(run_command("inspect", tmp_path / "x.onnx"), 3, "SHA-256", "x.onnx.json")


def test_pictures_that_cannot_be_read(small_artifacts: Artifacts, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not an image")
    for picture, word in (("missing.png", "cannot be read"), ("text.png", "formats")):
        outcome = run_command("predict", small_artifacts.onnx, tmp_path / picture)
        check_refusal(outcome, 3, picture, word)


def test_nothing_is_left_in_the_system_s_temporary_folder(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    outcome = run_command("tflite", "--model", small_model, "-o", tmp_path / "x.tflite")
    assert outcome.exit_code == 0, outcome.stderr
    assert list(scratch.iterdir()) == []
