"""Lowering as the command line offers it."""

import json
from pathlib import Path

import onnx
import pytest

from tests.support.command_line import Artifacts, run_command
from tests.support.keras_models import TINY_MODEL
from vitsd_export.workflows.export import Export, Target

NAMES = [
    "layer-norm-affine",
    "head-norm-affine",
    "patch-windows",
    "normalization",
    "position-embedding",
    "temperature",
    "query-key",
    "value-bias",
    "value-output",
]


def kinds(path: Path) -> list[str]:
    """The operators of an ONNX file."""
    return [node.op_type for node in onnx.load(path).graph.node]


def rewrites(path: Path) -> list[str]:
    """The rewrites that the manifest beside a file tells."""
    beside = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))
    told: list[str] = beside["options"]["rewrites"]
    return told


def test_the_manifest_tells_the_rewrites(exported: Artifacts) -> None:
    # Heads of the bundled model are narrow.
    applied = [name for name in NAMES if name not in ("query-key", "value-output")]
    for path in (exported.onnx, exported.tflite, exported.int8, exported.saved_model):
        assert rewrites(path) == applied


@pytest.mark.parametrize("command", ["onnx", "tflite", "saved-model"])
def test_no_lowering_exports_the_training_graph(
    small_model: Path, tmp_path: Path, command: str
) -> None:
    target = tmp_path / "x"
    outcome = run_command(command, "--model", small_model, "--no-lowering", "-o", target)
    assert outcome.exit_code == 0, outcome.stderr
    assert "exporting the training graph: lowering is switched off" in outcome.stderr
    assert rewrites(target) == []
    if command == "onnx":
        assert "LayerNormalization" not in kinds(target)


def test_no_rewrite_leaves_some_out(small_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.onnx"
    left_out = ("--no-rewrite", "position-embedding", "--no-rewrite", "temperature")
    outcome = run_command("onnx", "--model", small_model, *left_out, "-o", target)
    assert outcome.exit_code == 0, outcome.stderr
    told = rewrites(target)
    assert "layer-norm-affine" in told
    assert not {"position-embedding", "temperature"} & set(told)
    names = [node.name for node in onnx.load(target).graph.node]
    assert "block0/attention/tempered_scores" in names


@pytest.mark.parametrize("command", ["onnx", "tflite", "saved-model", "all", "explain"])
def test_a_rewrite_that_does_not_exist(tmp_path: Path, command: str) -> None:
    options = (
        [TINY_MODEL] if command == "explain" else ["--model", TINY_MODEL, "-o", tmp_path / "x"]
    )
    outcome = run_command(command, "--no-rewrite", "values-output", *options)
    assert outcome.exit_code == 2
    assert "Did you mean 'value-output'?" in outcome.error
    assert not (tmp_path / "x").is_file()


def test_an_opset_beyond_tf2onnx_needs_lowering(small_model: Path, tmp_path: Path) -> None:
    options = ("--model", small_model, "--no-lowering", "--opset", 20, "-o", tmp_path / "x.onnx")
    outcome = run_command("onnx", *options)
    assert outcome.exit_code == 2
    assert "not lowered (lowering is switched off)" in outcome.error
    assert "13 to 18, not 20" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_explain_shows_each_rewrite(small_model: Path) -> None:
    outcome = run_command("explain", small_model)
    assert outcome.exit_code == 0, outcome.stderr
    for name in NAMES:
        assert name in outcome.stdout
    for words in ("as trained", "lowered", "multiply-adds", "GFLOP/s", "GB/s", "not applied"):
        assert words in outcome.stdout


def test_explain_in_json_adds_up(small_model: Path) -> None:
    outcome = run_command("explain", small_model, "--json", "--no-rewrite", "temperature")
    assert outcome.exit_code == 0, outcome.stderr
    told = json.loads(outcome.stdout)
    assert [step["name"] for step in told["steps"]] == NAMES
    reasons = {step["name"]: step["reason"] for step in told["steps"]}
    assert reasons["temperature"] == "switched off"
    assert "multiply-adds" in reasons["query-key"]
    for figure in ("multiply_adds", "weights", "operators", "bytes", "milliseconds"):
        removed = sum(step["removed"][figure] for step in told["steps"])
        difference = told["trained"][figure] - told["lowered"][figure]
        assert removed == pytest.approx(difference)
    assert told["machine"]["flops"] > 1e8
    assert told["machine"]["bandwidth"] > 1e7


def test_explain_says_why_a_model_is_not_lowered(tmp_path: Path) -> None:
    from tests.support.keras_models import convolutional_network

    convolutional_network().save(tmp_path / "cnn.keras")
    outcome = run_command("explain", tmp_path / "cnn.keras")
    assert outcome.exit_code == 0, outcome.stderr
    assert "exported as it is: it has" in outcome.stdout


def test_the_same_model_gives_the_same_bytes(small_model: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    for target in (first, second):
        Export(small_model, verify=False).run(Target("onnx", target))
    assert onnx.load(first).graph == onnx.load(second).graph


def test_inspect_lists_nodes_by_their_place_in_the_model(exported: Artifacts) -> None:
    for path, line in (
        (exported.onnx, "Gelu                block3/mlp/gelu0  ←  block3/mlp/dense0"),
        (exported.tflite, "SOFTMAX          block5/attention/weights  ←"),
    ):
        outcome = run_command("inspect", path, "--nodes")
        assert outcome.exit_code == 0, outcome.stderr
        assert line in outcome.stdout
    told = json.loads(run_command("inspect", exported.onnx, "--json").stdout)
    nodes = {node["name"]: node for node in told["nodes"]}
    assert nodes["block2/attention/masked_scores"]["inputs"][0] == "block2/attention/scores"
    assert nodes["probabilities"]["op"] == "Softmax"
