"""The main job: `vitsd-export all --output-dir out` on the bundled model."""

import datetime
import hashlib
import importlib.metadata
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from tests.support.command_line import Artifacts, run_command
from tests.support.keras_models import TINY_MODEL, keras_probabilities, tiny_file
from vitsd_export.data.labels import CIFAR10_CLASSES

KINDS = ("saved_model", "tflite", "int8", "onnx", "onnx_int8")


def beside(artifact: Path) -> Any:
    """The manifest beside an artifact."""
    return json.loads(artifact.with_name(artifact.name + ".json").read_text(encoding="utf-8"))


def inside(artifact: Path) -> tuple[Any, list[str]]:
    """The manifest and the labels inside an artifact."""
    if artifact.suffix == ".onnx":
        properties = {entry.key: entry.value for entry in onnx.load(artifact).metadata_props}
        assert set(properties) == {"vitsd_export", "labels"}
        return json.loads(properties["vitsd_export"]), properties["labels"].splitlines()
    if artifact.suffix == ".tflite":
        with zipfile.ZipFile(artifact) as archive:
            assert sorted(archive.namelist()) == ["labels.txt", "vitsd_export.json"]
            labels = archive.read("labels.txt").decode()
            return json.loads(archive.read("vitsd_export.json")), labels.splitlines()
    extras = artifact / "assets.extra"
    labels = (extras / "labels.txt").read_text(encoding="utf-8")
    manifest = (extras / "vitsd_export.json").read_text(encoding="utf-8")
    return json.loads(manifest), labels.splitlines()


def test_the_folder_holds_the_artifacts_their_manifests_and_nothing_else(
    exported: Artifacts,
) -> None:
    names = [getattr(exported, kind).name for kind in KINDS]
    wanted = {*names, *(f"{name}.json" for name in names)}
    assert {path.name for path in exported.folder.iterdir()} == wanted
    assert exported.saved_model.is_dir()
    for kind in ("tflite", "int8", "onnx", "onnx_int8"):
        assert getattr(exported, kind).is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_the_manifest_inside_is_the_one_beside(exported: Artifacts, kind: str) -> None:
    artifact = getattr(exported, kind)
    outer, (inner, labels) = beside(artifact), inside(artifact)
    # What is inside the file cannot tell the file's own digest.
    assert inner.pop("file") is None
    assert outer.pop("file") is not None
    assert inner == outer
    assert outer["labels"] == labels == list(CIFAR10_CLASSES)


@pytest.mark.parametrize("kind", KINDS)
def test_the_manifest_tells_size_and_digest(exported: Artifacts, kind: str) -> None:
    artifact = getattr(exported, kind)
    file = beside(artifact)["file"]
    if artifact.is_dir():
        parts = sorted(path for path in artifact.rglob("*") if path.is_file())
        # What sha256sum prints in the folder.
        lines = [
            f"{hashlib.sha256(part.read_bytes()).hexdigest()}  {part.relative_to(artifact).as_posix()}\n"
            for part in parts
        ]
        digest = hashlib.sha256("".join(lines).encode())
        size = sum(part.stat().st_size for part in parts)
    else:
        digest = hashlib.sha256(artifact.read_bytes())
        size = artifact.stat().st_size
    assert file == {"bytes": size, "sha256": digest.hexdigest()}


@pytest.mark.parametrize(
    ("kind", "form", "scheme"),
    [
        ("saved_model", "saved_model", "float32"),
        ("tflite", "tflite", "float32"),
        ("int8", "tflite", "int8"),
        ("onnx", "onnx", "float32"),
        ("onnx_int8", "onnx", "int8"),
    ],
)
def test_the_manifest_tells_provenance_and_verification(
    exported: Artifacts, kind: str, form: str, scheme: str
) -> None:
    manifest = beside(getattr(exported, kind))
    assert (manifest["format"], manifest["scheme"]) == (form, scheme)
    assert manifest["source"]["name"] == TINY_MODEL
    assert manifest["source"]["sha256"] == hashlib.sha256(tiny_file().read_bytes()).hexdigest()
    assert manifest["source"]["parameters"] > 100_000
    created = datetime.datetime.fromisoformat(manifest["created"])
    assert created.utcoffset() == datetime.timedelta(0)

    verification = manifest["verification"]
    assert verification["passed"] is True
    assert verification["images"] == 500
    assert verification["data"] == {
        "source": "bundled CIFAR-10 sample (verification)",
        "split": "test",
        "labels": "the model's",
    }
    assert verification["scheme"] == scheme
    checks = {check["name"]: check for check in verification["checks"]}
    assert all(check["passed"] for check in checks.values())
    if scheme == "float32":
        assert checks["top-1 agreement"]["value"] == 100
        assert 0 <= checks["max abs difference"]["value"] <= 1e-4
    else:
        assert checks["mean KL divergence"]["value"] <= checks["mean KL divergence"]["limit"] / 4
        assert checks["top-1 agreement where sure"]["value"] >= 99
        assert checks["top-1 accuracy loss"]["value"] <= 1
    assert verification["parity"]["reference_top1"] > 0.3

    batch = 1 if form == "tflite" else None
    assert manifest["options"]["batch"] == batch
    assert manifest["input"]["shape"] == [batch, 32, 32, 3]
    assert manifest["output"]["shape"] == [batch, 10]
    if scheme == "int8":
        calibration = manifest["calibration"]
        assert (calibration["count"], calibration["split"]) == (512, "train")
        assert calibration["source"] == "bundled CIFAR-10 sample (calibration)"
    else:
        assert manifest["calibration"] is None


@pytest.mark.parametrize(
    ("kind", "tools"),
    [
        ("saved_model", set()),
        ("tflite", {"ai-edge-litert"}),
        ("int8", {"ai-edge-litert", "ai-edge-quantizer"}),
        ("onnx", {"onnx", "onnxruntime"}),
        ("onnx_int8", {"onnx", "onnxruntime"}),
    ],
)
def test_the_manifest_tells_the_versions_of_the_tools(
    exported: Artifacts, kind: str, tools: set[str]
) -> None:
    told = beside(getattr(exported, kind))["tools"]
    assert told.pop("python").startswith("3.")
    assert set(told) == {"vitsd-export", "keras", "tensorflow", "numpy"} | tools
    assert told == {name: importlib.metadata.version(name) for name in told}


def test_the_json_document_tells_what_was_written(exported: Artifacts) -> None:
    told = json.loads(exported.outcome.stdout)["artifacts"]
    assert {Path(entry["path"]) for entry in told} == {getattr(exported, kind) for kind in KINDS}
    for entry in told:
        manifest = beside(Path(entry["path"]))
        file = {"bytes": entry["bytes"], "sha256": entry["sha256"]}
        assert file == manifest["file"]
        assert entry["verification"] == manifest["verification"]


@pytest.mark.parametrize("kind", KINDS)
def test_predict_names_what_keras_names(
    exported: Artifacts, kind: str, images: np.ndarray, tmp_path: Path
) -> None:
    paths = []
    for index, image in enumerate(images[:20]):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(image).save(paths[-1])
    outcome = run_command("predict", getattr(exported, kind), *paths, "--json")
    assert outcome.exit_code == 0
    answers = json.loads(outcome.stdout)
    assert [answer["image"] for answer in answers] == [str(path) for path in paths]
    named = [answer["classes"][0]["label"] for answer in answers]
    expected = keras_probabilities(tiny_file(), images[:20])
    agreeing = [
        name == CIFAR10_CLASSES[row.argmax()] for name, row in zip(named, expected, strict=True)
    ]
    assert sum(agreeing) >= (18 if "int8" in kind else 20)
    assert all(len(answer["classes"]) == 5 for answer in answers)


def test_inspect_tells_what_the_manifest_tells(exported: Artifacts) -> None:
    outcome = run_command("inspect", exported.int8, "--json")
    assert outcome.exit_code == 0
    told = json.loads(outcome.stdout)
    manifest = beside(exported.int8)
    assert told["scheme"] == "int8"
    assert told["labels"] == manifest["labels"]
    assert told["verification"] == manifest["verification"]
    assert told["provenance"]["source"] == manifest["source"]


def test_running_again_replaces_whole_artifacts(
    small_artifacts: Artifacts, small_model: Path, tmp_path: Path
) -> None:
    file, folder = tmp_path / "small.onnx", tmp_path / "small-saved-model"
    file.write_bytes(b"an older file")
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"an older model")
    (folder / "stale").write_bytes(b"of an older model")
    with file.open("rb") as older:
        for command, target in (("onnx", file), ("saved-model", folder)):
            outcome = run_command(command, "--model", small_model, "-o", target)
            assert outcome.exit_code == 0, outcome.stderr
        # Who had the old file open still reads it: it was replaced and not written over.
        assert older.read() == b"an older file"
    assert {path.name for path in tmp_path.iterdir()} == {
        "small.onnx",
        "small.onnx.json",
        "small-saved-model",
        "small-saved-model.json",
    }
    old_names = {path.name for path in small_artifacts.saved_model.iterdir()}
    assert {path.name for path in folder.iterdir()} == old_names
    assert run_command("verify", file, folder, "--reference", small_model).exit_code == 0
