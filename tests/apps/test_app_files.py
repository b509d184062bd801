"""`vitsd-export app` writes folders that are ready to run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import Artifacts, run_command
from tests.support.node_process import NODE_APP, find_program
from tests.support.predictions import predicted
from tests.support.running_apps import largest_difference, run_app
from tests.support.tiny_artifacts import write_onnx
from vitsd_export.data.labels import CIFAR10_CLASSES

CASES = [("python", "onnx"), ("python", "int8"), ("node", "onnx_int8")]


@pytest.mark.parametrize(("app", "kind"), CASES)
def test_the_readmes_command_runs_in_the_folder(
    app: str,
    kind: str,
    exported: Artifacts,
    bundled_pictures: list[Path],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    artifact = tmp_path / f"my model{getattr(exported, kind).suffix}"
    shutil.copy(getattr(exported, kind), artifact)
    folder = tmp_path / "app"
    outcome = run_command("app", app, artifact, "-o", folder)
    assert outcome.exit_code == 0, outcome.stderr
    readme = (folder / "README.md").read_text().splitlines()
    assert len(readme) == 3
    command = readme[2].split("`")[1]
    assert command in outcome.stdout
    assert command.endswith(" 'my model.onnx' photo.jpg") or kind == "int8"
    if app == "python":
        # The packages of this environment in place of those of a new one.
        assert command.startswith(".venv/bin/python ")
        command = command.replace(".venv/bin/python", sys.executable)
    else:
        find_program("node")
        installed: Path = request.getfixturevalue("node_app")
        (folder / "node_modules").symlink_to(installed / "node_modules")
    shutil.copy(bundled_pictures[5], folder / "photo.jpg")
    ended = run_app(["sh", "-c", f"{command} --json"], folder=folder)
    assert (ended.exit_code, ended.errors) == (0, [])
    reference = predicted(artifact, [bundled_pictures[5]], len(CIFAR10_CLASSES))
    assert (
        largest_difference(ended.answers, {"photo.jpg": reference[str(bundled_pictures[5])]})
        <= 1e-4
    )


def test_the_web_app_is_the_site_of_the_artifact(exported: Artifacts, tmp_path: Path) -> None:
    find_program("npm")
    folder = tmp_path / "site"
    outcome = run_command("app", "web", exported.onnx, "-o", folder)
    assert outcome.exit_code == 0, outcome.stderr
    assert "http.server" in outcome.stdout
    assert (folder / "index.html").is_file()
    assert (folder / "model.onnx").read_bytes() == exported.onnx.read_bytes()
    assert run_command("app", "web", exported.onnx, "-o", folder).exit_code == 2
    assert run_command("app", "web", exported.onnx, "-o", folder, "--force").exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_the_requirements_are_all_that_is_needed(
    kind: str, exported: Artifacts, bundled_pictures: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "app"
    assert run_command("app", "python", getattr(exported, kind), "-o", folder).exit_code == 0
    shutil.copy(bundled_pictures[0], folder / "photo.jpg")
    _, once, then = (folder / "README.md").read_text().splitlines()
    script = once.split("`")[1].replace("python3", sys.executable) + " -q && " + then.split("`")[1]
    process = subprocess.run(
        ["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[0] == "photo.jpg"
    assert process.stdout.splitlines()[1].split()[1] == "cat"


def test_the_node_app_names_no_registry() -> None:
    assert "resolved" not in (NODE_APP / "package-lock.json").read_text()


def test_a_folder_that_holds_something_is_kept(exported: Artifacts, tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    assert run_command("app", "python", exported.onnx, "-o", folder).exit_code == 0
    own = folder / "pictures.py"
    own.write_text("mine")
    (folder / "notes.txt").write_text("mine")
    outcome = run_command("app", "python", exported.onnx, "-o", folder)
    assert outcome.exit_code == 2
    assert "--force" in outcome.error
    assert own.read_text() == "mine"
    assert run_command("app", "python", exported.onnx, "-o", folder, "--force").exit_code == 0
    assert "def read_picture" in own.read_text()
    assert (folder / "notes.txt").read_text() == "mine"
    assert [path for path in tmp_path.iterdir() if path != folder] == []


def test_an_app_beside_its_artifact(exported: Artifacts, tmp_path: Path) -> None:
    artifact = tmp_path / "model.onnx"
    shutil.copy(exported.onnx, artifact)
    assert run_command("app", "node", artifact, "-o", tmp_path, "--force").exit_code == 0
    assert artifact.read_bytes() == exported.onnx.read_bytes()
    assert (tmp_path / "classify.mjs").is_file()


@pytest.mark.parametrize(
    ("app", "kind", "reason"),
    [
        ("node", "tflite", "reads an ONNX file"),
        ("web", "tflite", "LiteRT"),
        ("python", "saved_model", "ONNX file or a LiteRT file"),
    ],
)
def test_formats_that_an_app_does_not_read_are_refused(
    app: str, kind: str, reason: str, exported: Artifacts, tmp_path: Path
) -> None:
    outcome = run_command("app", app, getattr(exported, kind), "-o", tmp_path / "app")
    assert outcome.exit_code == 3
    assert reason in outcome.error
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize("app", ["python", "node"])
def test_an_artifact_without_a_manifest_is_refused(app: str, tmp_path: Path) -> None:
    artifact = write_onnx(tmp_path / "foreign.onnx", with_manifest=False)
    outcome = run_command("app", app, artifact, "-o", tmp_path / "app")
    assert outcome.exit_code == 3
    assert "manifest" in outcome.error
    assert not (tmp_path / "app").exists()


def test_a_folder_in_no_folder_is_refused(exported: Artifacts, tmp_path: Path) -> None:
    outcome = run_command("app", "python", exported.onnx, "-o", tmp_path / "none" / "app")
    assert outcome.exit_code == 3
    assert "does not exist" in outcome.error
