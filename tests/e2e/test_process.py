"""Commands in a process of their own, as people run them: nothing but what was asked for is printed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.command_line import Artifacts
from tests.support.keras_models import TINY_MODEL

PROGRESS = (
    "loading the model",
    "asking the Keras model about 500 images: bundled CIFAR-10 sample (verification)",
    "converting to onnx, float32",
    "verifying x.onnx on 500 images",
)


def vitsd_export(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs `python -m vitsd_export` in a folder, without the settings of the tests."""
    settings = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "PYTHONWARNINGS")
    environment = {name: value for name, value in os.environ.items() if name not in settings}
    root = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "vitsd_export", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )


def test_an_export_prints_its_document_and_its_progress_alone(tmp_path: Path) -> None:
    process = vitsd_export(tmp_path, "onnx", "--model", TINY_MODEL, "-o", "x.onnx", "--json")
    assert process.returncode == 0, process.stderr
    (told,) = json.loads(process.stdout)["artifacts"]
    assert told["verification"]["passed"] is True
    assert tuple(process.stderr.splitlines()) == PROGRESS
    assert {path.name for path in tmp_path.iterdir()} == {"x.onnx", "x.onnx.json"}


def test_an_error_is_all_that_is_printed(small_artifacts: Artifacts, tmp_path: Path) -> None:
    shutil.copytree(small_artifacts.saved_model, tmp_path / "cut")
    graph = tmp_path / "cut" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:1000])
    process = vitsd_export(tmp_path, "predict", "cut", "any.png")
    assert process.returncode == 3
    assert process.stdout == ""
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: The artifact cut cannot be used")
