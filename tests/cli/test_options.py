"""The command line itself: its start, its usage errors, its JSON documents, its tracebacks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image

from tests.support.cifar_layouts import random_images
from tests.support.command_line import Artifacts, run_command

COMMANDS = ("onnx", "tflite", "saved-model", "all", "verify", "predict", "inspect", "benchmark")
HEAVY = ("tensorflow", "keras", "numpy", "onnx", "onnxruntime", "ai_edge_litert", "pyarrow", "PIL")
LIST_MODULES = f"""
print(",".join(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)
"""


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a new interpreter, in the folder of the repository."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize(
    "action",
    [
        "import vitsd_export",
        "import vitsd_export.cli",
        "import vitsd_export; dir(vitsd_export); vitsd_export.InputError",
        """
from vitsd_export.cli import main
sys.argv = ["vitsd-export", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code
""",
        """
from vitsd_export.cli import main
sys.argv = ["vitsd-export", "onnx", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code
""",
    ],
)
def test_starting_imports_nothing_heavy(action: str) -> None:
    process = run_python(f"import sys\n{action}\n{LIST_MODULES}")
    assert process.returncode == 0, process.stderr
    assert process.stderr == "\n"


def test_help_names_every_command() -> None:
    outcome = run_command("--help")
    assert outcome.exit_code == 0
    for command in COMMANDS:
        assert f" {command} " in outcome.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    outcome = run_command(command, "--help")
    assert outcome.exit_code == 0
    assert "--json" in outcome.stdout
    assert "--debug" in outcome.stdout
    assert outcome.stderr == ""


def test_every_command_has_the_same_default_model() -> None:
    from vitsd_export.cli import app
    from vitsd_export.pretrained import DEFAULT_MODEL, bundled_names

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    defaults = {
        name: option.default
        for name, command in commands.items()
        for option in command.params
        if option.name == "model" and not option.required
    }
    assert set(defaults) == {"onnx", "tflite", "saved-model", "all", "quantize", "explain"}
    assert set(defaults.values()) == {DEFAULT_MODEL}
    assert DEFAULT_MODEL in bundled_names()


def test_the_version() -> None:
    import vitsd_export

    outcome = run_command("--version")
    assert (outcome.exit_code, outcome.stdout) == (0, f"vitsd-export {vitsd_export.__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nosuch"],
        ["onnx", "--nosuch"],
        ["onnx", "--opset", "many"],
        ["onnx", "--cpu", "z80"],
        ["tflite", "--calibration-method", "median"],
        ["predict"],
        ["verify"],
        ["predict", "x.onnx", "x.png", "--top", "0"],
    ],
)
def test_usage_errors(arguments: list[str]) -> None:
    outcome = run_command(*arguments)
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert "Error" in outcome.stderr
    assert "Traceback" not in outcome.stderr

    outcome = run_command(*arguments, "--json")
    assert outcome.exit_code == 2
    assert json.loads(outcome.stdout) == {"error": outcome.error, "exit_code": 2}


def test_without_a_command_the_help_is_shown() -> None:
    outcome = run_command()
    assert outcome.exit_code == 2
    assert "Usage" in outcome.stdout + outcome.stderr


def test_json_of_the_commands_that_read_artifacts(
    small_artifacts: Artifacts, small_model: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"
    Image.fromarray(random_images(1, 4, size=50)[0]).save(picture)

    outcome = run_command("predict", small_artifacts.onnx, picture, "--top", 3, "--json")
    (answer,) = json.loads(outcome.stdout)
    assert answer["image"] == str(picture)
    probabilities = [entry["probability"] for entry in answer["classes"]]
    assert len(probabilities) == 3
    assert probabilities == sorted(probabilities, reverse=True)

    outcome = run_command("inspect", small_artifacts.onnx, "--json")
    info = json.loads(outcome.stdout)
    assert info["format"] == "onnx"
    assert info["inputs"] == [{"name": "image", "dtype": "uint8", "shape": [None, 32, 32, 3]}]

    outcome = run_command("verify", small_artifacts.onnx, "--reference", small_model, "--json")
    (result,) = json.loads(outcome.stdout)["artifacts"]
    assert result["path"] == str(small_artifacts.onnx)
    assert result["verification"]["passed"] is True
    assert result["same_source"] is True


def test_what_the_commands_that_read_artifacts_print(
    small_artifacts: Artifacts, small_model: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"
    Image.fromarray(random_images(1, 4, size=50)[0]).save(picture)
    outcome = run_command("predict", small_artifacts.int8, picture)
    first, *classes = outcome.stdout.splitlines()
    assert first == str(picture)
    assert len(classes) == 5
    assert all("%" in line for line in classes)

    outcome = run_command("inspect", small_artifacts.int8)
    for word in ("tflite", "int8", "uint8", "probabilities", "airplane", "FULLY_CONNECTED", "512"):
        assert word in outcome.stdout

    outcome = run_command("verify", small_artifacts.int8, "--reference", small_model)
    for word in ("top-1 agreement", "ai-edge-litert", "500 images", "top-1 of Keras"):
        assert word in outcome.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["onnx", "--model", "nowhere.keras"],
        ["tflite", "--model", "nowhere.keras"],
        ["saved-model", "--model", "nowhere.keras"],
        ["all", "--model", "nowhere.keras"],
        ["verify", "nowhere.onnx"],
        ["predict", "nowhere.onnx", "nowhere.png"],
        ["inspect", "nowhere.onnx"],
    ],
)
def test_an_error_in_json(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run_command(*arguments, "--json")
    assert outcome.exit_code == 3
    assert json.loads(outcome.stdout) == {"error": outcome.error, "exit_code": 3}
    assert "nowhere" in outcome.error


def test_debug_shows_where_an_error_comes_from(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.onnx"
    outcome = run_command("inspect", missing, "--debug")
    assert outcome.exit_code == 3
    assert "Traceback (most recent call last)" in outcome.stderr
    assert "detection.py" in outcome.stderr
    assert outcome.stderr.splitlines()[-1].startswith(f"error: The artifact {missing}")
    assert "Traceback" not in run_command("inspect", missing).stderr


BUG = """
import sys
from unittest import mock
from vitsd_export.cli import main
with mock.patch("vitsd_export.artifact.inspection.inspect_artifact", side_effect=RuntimeError("a\\nbug")):
    sys.argv = ["vitsd-export", "inspect", "x.onnx", *sys.argv[1:]]
    main()
"""


def test_a_bug_ends_with_1_and_asks_for_a_report() -> None:
    process = run_python(BUG)
    assert process.returncode == 1
    assert process.stdout == ""
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: This is a bug in vitsd-export (RuntimeError: a bug).")
    assert "--debug" in line


def test_a_bug_in_json() -> None:
    process = run_python(BUG, "--json")
    assert process.returncode == 1
    told = json.loads(process.stdout)
    assert told["exit_code"] == 1
    assert "RuntimeError" in told["error"]


def test_a_bug_with_its_traceback() -> None:
    process = run_python(BUG, "--debug")
    assert process.returncode == 1
    assert "Traceback (most recent call last)" in process.stderr
    assert "RuntimeError: a" in process.stderr


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise MemoryError

    monkeypatch.setattr("vitsd_export.artifact.inspection.inspect_artifact", fail)
    outcome = run_command("inspect", "x.onnx", "--json")
    assert outcome.exit_code == 5
    assert json.loads(outcome.stdout) == {"error": outcome.error, "exit_code": 5}
    assert "memory" in outcome.error
