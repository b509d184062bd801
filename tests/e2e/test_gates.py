"""Verification really decides: what fails its gate never takes the target's name."""

import copy
import dataclasses
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.command_line import run_command
from tests.support.keras_models import small_config, small_transformer
from tests.support.old_files import old_artifact, tree

WRITERS = {
    "onnx": ("vitsd_export.exporters.onnx", "write_onnx"),
    "tflite": ("vitsd_export.exporters.litert", "convert"),
    "saved-model": ("vitsd_export.exporters.saved_model", "write_saved_model"),
}
SUFFIXES = {"onnx": ".onnx", "tflite": ".tflite", "saved-model": ""}


def perturbing(write: Callable[..., Any], change: float) -> Callable[..., Any]:
    """A writer that gets one weight wrong."""

    def write_wrongly(graph: Any, *arguments: Any, **options: Any) -> Any:
        wrong = copy.copy(graph)
        logits = graph.lowered.head.logits
        bias = logits.bias.copy()
        bias[3] += change
        head = dataclasses.replace(
            graph.lowered.head, logits=dataclasses.replace(logits, bias=bias)
        )
        wrong.lowered = dataclasses.replace(graph.lowered, head=head)
        # It must not share the right one's variables.
        wrong._weights = type(graph._weights)()
        return write(wrong, *arguments, **options)

    return write_wrongly


def break_writer(monkeypatch: pytest.MonkeyPatch, command: str, change: float) -> None:
    """Makes the command's writer get one weight wrong."""
    module, name = WRITERS[command]
    owner = importlib.import_module(module)
    monkeypatch.setattr(owner, name, perturbing(getattr(owner, name), change))


@pytest.mark.parametrize("command", list(WRITERS))
def test_a_wrong_weight_is_found_and_the_old_artifact_stays(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    target = tmp_path / f"x{SUFFIXES[command]}"
    before = old_artifact(target, command)
    break_writer(monkeypatch, command, 0.5)
    outcome = run_command(command, "--model", small_model, "-o", target)
    assert outcome.exit_code == 4
    # The figure, the limit and what to do, in the paragraph; every check in the table.
    assert "max abs difference 0." in outcome.error
    assert "0.0001" in outcome.error
    assert "report" in outcome.error
    assert "✗" in outcome.stdout
    assert tree(tmp_path) == before


def test_a_difference_far_below_what_anyone_would_see_is_found(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_writer(monkeypatch, "onnx", 2e-3)
    outcome = run_command("onnx", "--model", small_model, "-o", tmp_path / "x.onnx")
    assert outcome.exit_code == 4
    assert list(tmp_path.iterdir()) == []


def test_the_same_difference_passes_where_nothing_is_verified(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_writer(monkeypatch, "onnx", 0.5)
    outcome = run_command("onnx", "--model", small_model, "--no-verify", "-o", tmp_path / "x.onnx")
    assert outcome.exit_code == 0, outcome.stderr
    verified = run_command("verify", tmp_path / "x.onnx", "--reference", small_model)
    assert verified.exit_code == 4


@pytest.mark.parametrize(
    ("scheme", "check", "remedy"),
    [
        ("int8", "mean KL divergence", "--calibration-data"),
        ("float16", "top-1 agreement", "Export float32"),
    ],
)
def test_the_remedy_fits_the_scheme(
    small_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    check: str,
    remedy: str,
) -> None:
    break_writer(monkeypatch, "tflite", 50.0)
    outcome = run_command(
        "tflite", "--model", small_model, "--scheme", scheme, "-o", tmp_path / "x.tflite"
    )
    assert outcome.exit_code == 4
    assert f"{check} " in outcome.error
    assert remedy in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_a_failed_gate_in_json(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_writer(monkeypatch, "onnx", 0.5)
    outcome = run_command("onnx", "--model", small_model, "-o", tmp_path / "x.onnx", "--json")
    assert outcome.exit_code == 4
    told = json.loads(outcome.stdout)
    assert told["exit_code"] == 4
    assert told["error"] == outcome.error
    assert told["verification"]["passed"] is False
    failed = [check["name"] for check in told["verification"]["checks"] if not check["passed"]]
    assert "max abs difference" in failed


def test_all_tells_every_failure_where_nothing_passes(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in WRITERS:
        break_writer(monkeypatch, command, 50.0)
    outcome = run_command("all", "--model", small_model, "--output-dir", tmp_path)
    assert outcome.exit_code == 4
    assert outcome.error.count("was not written") == 5
    assert "Next:" not in outcome.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("broken", ["onnx", "saved-model"])
def test_all_keeps_what_was_verified_whichever_fails(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    break_writer(monkeypatch, broken, 0.5)
    outcome = run_command("all", "--model", small_model, "--output-dir", tmp_path, "--json")
    assert outcome.exit_code == 4
    names = {
        "small-saved-model": "saved-model",
        "small.tflite": "tflite",
        "small-int8.tflite": "tflite",
        "small.onnx": "onnx",
        "small-int8.onnx": "onnx",
    }
    missing = {name for name, command in names.items() if command == broken}
    assert all(f"{name} was not written" in outcome.error for name in missing)
    written = {path.name for path in tmp_path.iterdir() if path.suffix != ".json"}
    assert written == names.keys() - missing
    told = json.loads(outcome.stdout)
    assert {Path(artifact["path"]).name for artifact in told["artifacts"]} == written
    assert len(told["failures"]) == len(missing)
    for failure in told["failures"]:
        assert any(name in failure["error"] for name in missing)
        assert failure["verification"]["passed"] is False


@pytest.mark.parametrize("command", list(WRITERS))
def test_weights_that_are_not_numbers_fail(tmp_path: Path, command: str) -> None:
    from vitsd_export.sources.checkpoint import write_model

    model = small_transformer()
    layer = model.get_layer("logits")
    kernel, bias = layer.get_weights()
    kernel[0, 0] = np.nan
    layer.set_weights([kernel, bias])
    write_model(model, small_config(), tmp_path / "nan.keras", {})
    target = tmp_path / "out" / f"x{SUFFIXES[command]}"
    target.parent.mkdir()
    before = old_artifact(target, command)
    outcome = run_command(command, "--model", tmp_path / "nan.keras", "-o", target)
    assert outcome.exit_code == 4
    assert "500 of 500 images with NaN" in outcome.error
    assert "train or save it again" in outcome.error
    assert tree(target.parent) == before
