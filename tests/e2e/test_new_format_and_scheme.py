"""A format and a scheme are added by registering them; no other code knows their names."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import run_command
from tests.support.toy_registrations import register_toys
from vitsd_export.exporters.registry import EXPORTERS


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    register_toys(monkeypatch)


def told_by(*arguments: object) -> Any:
    """What a command that succeeds prints as JSON."""
    outcome = run_command(*arguments, "--json")
    assert outcome.exit_code == 0, outcome.stderr
    return json.loads(outcome.stdout)


def test_a_new_format_is_exported_inspected_and_verified(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for slow in ("saved_model", "tflite", "onnx"):
        monkeypatch.delitem(EXPORTERS, slow)  # type: ignore[arg-type]
    (made,) = told_by("all", "--model", small_model, "-o", tmp_path)["artifacts"]
    path = tmp_path / f"{small_model.stem}.toy"
    assert (made["path"], made["format"], made["scheme"]) == (str(path), "toy", "float32")
    assert made["verification"]["passed"]

    info = told_by("inspect", path)
    assert (info["format"], info["parameters"], info["ops"]) == ("toy", 7, {"Toy": 1})
    assert info["inputs"][0]["shape"][0] == 2
    assert info["provenance"]["options"]["runs_on"] == "the tests"
    assert "pytest" in info["provenance"]["tools"]
    assert info["verification"] == made["verification"]

    (verified,) = told_by("verify", path, "--reference", small_model)["artifacts"]
    assert verified["runtime"] == "toy 1"
    assert verified["same_source"]
    assert verified["verification"]["passed"]


def test_a_new_scheme_is_exported_inspected_and_verified(small_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    (made,) = told_by("onnx", "--model", small_model, "--scheme", "toy", "-o", path)["artifacts"]
    assert made["scheme"] == made["verification"]["scheme"] == "toy"
    limits = {check["name"]: check["limit"] for check in made["verification"]["checks"]}
    assert limits["mean KL divergence"] == 0.01

    info = told_by("inspect", path)
    assert info["scheme"] == "toy"
    assert info["provenance"]["options"]["runs_on"] == "the tests' runtime"

    (verified,) = told_by("verify", path, "--reference", small_model)["artifacts"]
    assert verified["verification"]["scheme"] == "toy"
    assert verified["verification"]["passed"]


def test_a_new_scheme_that_misses_its_gate_is_not_written(
    small_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.onnx"
    outcome = run_command("onnx", "--model", small_model, "--scheme", "broken-toy", "-o", path)
    assert outcome.exit_code == 4
    assert outcome.error.endswith("Take a smaller step.")
    assert not path.exists()


def test_new_ones_are_listed() -> None:
    listed = {scheme["name"]: scheme for scheme in told_by("schemes")}
    assert listed["toy"]["runs_on"] == {"onnx": "the tests' runtime"}
    assert listed["float32"]["runs_on"]["toy"] == "the tests"
    table = run_command("schemes").stdout.splitlines()
    (row,) = (line.split() for line in table if line.split()[:1] == ["toy"])
    assert row[:4] == ["toy", "multiples", "of", "float32"]


def test_a_new_scheme_is_refused_where_it_has_no_recipe(small_model: Path, tmp_path: Path) -> None:
    outcome = run_command(
        "tflite", "--model", small_model, "--scheme", "toy", "-o", tmp_path / "x.tflite"
    )
    assert outcome.exit_code == 2
    assert "tflite cannot express toy, which is for onnx" in outcome.error
