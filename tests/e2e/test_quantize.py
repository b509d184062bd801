"""The commands `quantize` and `sensitivity`, and heads of low rank, from end to end."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.support.command_line import Artifacts, run_command
from tests.support.keras_models import TINY_MODEL
from tests.support.small_models import build_small
from vitsd_export.data.sample import load_sample
from vitsd_export.runtimes import open_runner


@pytest.fixture(scope="module")
def flat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .keras file whose head has a wide hidden layer, the output of which varies in few directions."""
    model = build_small(
        input_size=32, image_size=32, patch_size=8, head="flatten", head_units=(64,), num_classes=4
    )
    kernel, bias = model.get_layer("head_dense0").get_weights()
    rng = np.random.default_rng(0)
    low_rank = rng.normal(size=(len(kernel), 4)) @ rng.normal(size=(4, 64)) / len(kernel) ** 0.5
    model.get_layer("head_dense0").set_weights([low_rank.astype(np.float32), bias])
    path = tmp_path_factory.mktemp("flat") / "flat.keras"
    model.save(path)
    return path


def document(*arguments: object) -> Any:
    outcome = run_command(*arguments, "--json")
    assert outcome.exit_code == 0, outcome.stderr
    return json.loads(outcome.stdout)


@pytest.mark.parametrize("command", ["onnx", "tflite"])
def test_a_head_of_low_rank_is_smaller_and_told_in_the_manifest(
    flat_model: Path, tmp_path: Path, command: str
) -> None:
    images = load_sample("verification").images[:50]
    sizes, answers = {}, {}
    for rank in ("off", "16"):
        target = tmp_path / f"{rank}.{command}"
        # Not verified: random weights call many images a near tie, which 8 bits may turn.
        options = ("--quantize", "--head-rank", rank, "--no-verify", "-o", target)
        document(command, "--model", flat_model, *options)
        sizes[rank] = target.stat().st_size
        manifest = json.loads(target.with_name(f"{target.name}.json").read_text())
        assert ("head" in manifest["options"]) == (rank != "off")
        with open_runner(target) as runner:
            answers[rank] = runner.probabilities(images)
            assert runner.manifest is not None
            inside = runner.manifest.options
    assert inside["head"] == manifest["options"]["head"]
    assert inside["head"]["rank"] == 16
    assert inside["head"]["layers"][0]["kept"] > 0.999
    assert inside["head"]["weights_after"] == 16 * (128 + 64) + 64 * 4
    assert sizes["16"] < sizes["off"]
    assert np.abs(answers["16"] - answers["off"]).max() < 0.1


def test_auto_chooses_a_rank(flat_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.onnx"
    # Not verified, for the near ties of random weights.
    options = ("--quantize", "--head-rank", "auto", "--no-verify", "-o", target)
    document("onnx", "--model", flat_model, *options)
    nodes = [node.name for node in onnx.load(target).graph.node]
    assert any(name.startswith("head/dense0/reduced") for name in nodes)


def test_auto_leaves_a_head_without_hidden_layers(small_model: Path, tmp_path: Path) -> None:
    options = ("--scheme", "dynamic-int8", "--no-verify", "--head-rank", "auto")
    outcome = run_command("onnx", "--model", small_model, *options, "-o", tmp_path / "x.onnx")
    assert outcome.exit_code == 0, outcome.stderr
    assert "the head stays as it is: the model's head has no hidden layer" in outcome.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--quantize", "--head-rank", "8"), "no hidden layer"),
        (("--quantize", "--head-rank", "much"), "must be a number from 1, auto or off"),
        (("--quantize", "--head-rank", "0"), "must be a number from 1, auto or off"),
        (("--head-rank", "8"), "more than float32 may"),
        (("--quantize", "--no-lowering", "--head-rank", "8"), "lowering is switched off"),
    ],
)
def test_a_head_that_cannot_be_is_a_usage_error(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    outcome = run_command("onnx", "--model", TINY_MODEL, *options, "-o", tmp_path / "x.onnx")
    assert outcome.exit_code == 2
    assert message in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_the_search_writes_the_best_and_goes_on_from_its_state(
    flat_model: Path, tmp_path: Path
) -> None:
    target, plot = tmp_path / "best.onnx", tmp_path / "x.png"
    options = ("quantize", flat_model, "-o", target, "--objective", "size", "--max-drop", "2")
    schemes = ("--scheme", "int8", "--scheme", "dynamic-int8")
    found = document(*options, *schemes, "--plot", plot)
    rows = {row["name"]: row for row in found["candidates"]}
    assert {"float32", "int8", "dynamic-int8", "int8, head rank 16"} <= set(rows)
    (best,) = (row for row in rows.values() if row["best"])
    allowed = [row for row in rows.values() if row["drop"] is not None and row["drop"] <= 2]
    assert best["bytes"] == min(row["bytes"] for row in allowed)
    assert best["head_rank"] == 16
    assert found["artifact"]["scheme"] == best["scheme"]
    with open_runner(target) as runner:
        assert runner.manifest is not None
        assert runner.manifest.verification is not None
    assert plot.stat().st_size > 5000
    state = json.loads((tmp_path / "best.onnx.search.json").read_text())
    assert len(state["trials"]) == len(rows)
    again = document(*options, *schemes)
    assert again["candidates"] == found["candidates"]


def test_the_search_in_litert_keeps_sensitive_layers_in_float(
    flat_model: Path, tmp_path: Path
) -> None:
    target = tmp_path / "best.tflite"
    options = ("--target", "litert", "--scheme", "dynamic-int8", "--max-drop", "0", "-o", target)
    outcome = run_command("quantize", flat_model, *options, "--objective", "size")
    assert outcome.exit_code == 0, outcome.stderr
    assert "dynamic-int8" in outcome.stdout
    assert (tmp_path / "best.tflite.json").is_file()
    trials = json.loads((tmp_path / "best.tflite.search.json").read_text())["trials"]
    by_layers = {
        trial["candidate"]["float_layers"]: trial["figures"]["bytes"]
        for trial in trials
        if trial["candidate"]["scheme"] == "dynamic-int8"
        and trial["candidate"]["head_rank"] is None
    }
    # Random weights lose answers in 8 bits, so that layers are given back.
    assert len(by_layers) > 1
    assert by_layers[1] > by_layers[0]


@pytest.mark.parametrize(
    ("options", "exit_code", "message"),
    [
        (("--scheme", "int3"), 2, "There is no scheme 'int3'"),
        (("--max-drop", "-1"), 2, "at least 0 points"),
        (("--calibration-samples", "20", "--calibration-data", "nowhere"), 3, "no folder nowhere"),
    ],
)
def test_a_search_that_cannot_be_says_why(
    tmp_path: Path, options: tuple[str, ...], exit_code: int, message: str
) -> None:
    outcome = run_command("quantize", TINY_MODEL, *options, "-o", tmp_path / "x.onnx")
    assert outcome.exit_code == exit_code
    assert message in outcome.error
    assert not (tmp_path / "x.onnx").exists()


def test_sensitivity_lists_the_worst_layers_first(exported: Artifacts, tmp_path: Path) -> None:
    plot = tmp_path / "x.png"
    found = document("sensitivity", TINY_MODEL, exported.int8, "--samples", 8, "--plot", plot)
    ratios = [layer["sqnr"] for layer in found["layers"]]
    assert ratios == sorted(ratios)
    assert len(ratios) > 30
    assert found["images"] == 8
    assert plot.is_file()
    # The float32 file of the same format in place of the model.
    by_file = document("sensitivity", exported.tflite, exported.int8, "--samples", 8)
    assert by_file["layers"][0]["sqnr"] == pytest.approx(ratios[0], abs=0.01)
    printed = run_command("sensitivity", TINY_MODEL, exported.onnx, "--samples", 2)
    assert printed.exit_code == 0
    assert "SQNR" in printed.stdout


def test_sensitivity_of_strangers_is_refused(exported: Artifacts, small_model: Path) -> None:
    outcome = run_command("sensitivity", "nowhere.keras", exported.int8)
    assert outcome.exit_code == 3
    outcome = run_command("sensitivity", TINY_MODEL, exported.saved_model)
    assert outcome.exit_code == 3
    assert "ONNX or LiteRT" in outcome.error
