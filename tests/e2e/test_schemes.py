"""Numeric schemes: what is stored in the files, how large they are, and the gates they pass."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from tests.support.archives import without_zip
from tests.support.command_line import Artifacts, run_command
from tests.support.keras_models import TINY_MODEL
from vitsd_export.artifact.inspection import inspect_artifact
from vitsd_export.quantization.schemes import SCHEMES
from vitsd_export.workflows.export import Export, Exported, Target

FLOAT, FLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16


@pytest.fixture(scope="module")
def smaller(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """The small bundled model in the schemes that `all` leaves out, by the name of the file."""
    folder = tmp_path_factory.mktemp("schemes")
    export = Export(TINY_MODEL)
    targets = [
        Target("onnx", folder / "float16.onnx", "float16"),
        Target("tflite", folder / "float16.tflite", "float16"),
        Target("tflite", folder / "dynamic.tflite", "dynamic-int8"),
        Target("onnx", folder / "weight-only.onnx", "weight-only-int8"),
        Target("onnx", folder / "dynamic.onnx", "dynamic-int8"),
        Target("onnx", folder / "vnni.onnx", "int8", cpu="vnni"),
        Target("onnx", folder / "int4.onnx", "int4"),
        Target("tflite", folder / "int4.tflite", "int4"),
    ]
    return {target.path.name: export.run(target) for target in targets}


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("float16.onnx", "float16"),
        ("float16.tflite", "float16"),
        ("dynamic.tflite", "dynamic-int8"),
    ],
)
def test_a_scheme_passes_its_own_gate(smaller: dict[str, Exported], name: str, scheme: str) -> None:
    result = smaller[name]
    assert result.verification is not None
    assert result.verification.passed
    assert result.verification.scheme == result.manifest.scheme == scheme
    limits = {check.name: check.limit for check in result.verification.checks}
    if scheme == "float16":
        assert limits["max abs difference"] == 5e-3
        assert limits["top-1 agreement"] == 99.5
    else:
        assert limits["mean KL divergence"] == 0.002
        assert limits["top-1 agreement where sure"] == 98
        assert limits["top-1 accuracy loss"] == 1


def test_float16_onnx_stores_half_precision(
    smaller: dict[str, Exported], exported: Artifacts
) -> None:
    path = smaller["float16.onnx"].path
    assert path.stat().st_size < 0.62 * exported.onnx.stat().st_size
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    numbers = {FLOAT: 0, FLOAT16: 0}
    for tensor in stored.values():
        if tensor.data_type in numbers:
            numbers[tensor.data_type] += numpy_helper.to_array(tensor).size
    # The tokenizer's interpolation of pixels stays as exact as it is, and so does the mask.
    assert numbers[FLOAT16] > 15 * numbers[FLOAT]
    # What users see stays as it is.
    info = inspect_artifact(path)
    assert [tensor.dtype for tensor in (*info.graph.inputs, *info.graph.outputs)] == [
        "uint8",
        "float32",
    ]


def test_float16_litert_stores_half_precision(
    smaller: dict[str, Exported], exported: Artifacts
) -> None:
    path = smaller["float16.tflite"].path
    assert path.stat().st_size < 0.62 * exported.tflite.stat().st_size
    weights = inspect_artifact(path).graph.weights
    wide = weights["float32"].elements if "float32" in weights else 0
    # Biases, and the tokenizer's interpolation of pixels, stay as exact as they are.
    assert weights["float16"].elements > 12 * wide


def fully_connected_weights(path: Path) -> list[Any]:
    """The weight tensors of a .tflite file's dense layers with trained weights, as its schema reads them."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(path.read_bytes(), 0)
    codes = [model.OperatorCodes(index) for index in range(model.OperatorCodesLength())]
    graph = model.Subgraphs(0)
    operators = [graph.Operators(index) for index in range(graph.OperatorsLength())]
    dense = schema.BuiltinOperator.FULLY_CONNECTED
    return [
        graph.Tensors(operator.Inputs(1))
        for operator in operators
        if codes[operator.OpcodeIndex()].BuiltinCode() == dense
        and not graph.Tensors(operator.Outputs(0)).Name().startswith(b"tokenizer/windows/")
    ]


def test_eight_bit_weights_have_a_scale_for_each_output_channel(
    smaller: dict[str, Exported], exported: Artifacts
) -> None:
    from ai_edge_litert.schema_py_generated import TensorType

    for path in (exported.int8, smaller["dynamic.tflite"].path):
        assert path.stat().st_size < 0.45 * exported.tflite.stat().st_size
        weights = fully_connected_weights(path)
        # 6 blocks of query, key, value, projection and two dense layers; tokenizer and head.
        assert len(weights) == 6 * 6 + 2
        for tensor in weights:
            assert tensor.Type() == TensorType.INT8
            assert tensor.Quantization().ScaleLength() == tensor.Shape(0) > 1


def test_int8_quantizes_activations_and_dynamic_does_not(
    smaller: dict[str, Exported], exported: Artifacts
) -> None:
    int8, dynamic = (
        inspect_artifact(exported.int8),
        inspect_artifact(smaller["dynamic.tflite"].path),
    )
    assert int8.graph.ops["QUANTIZE"] > 0
    assert int8.graph.ops["DEQUANTIZE"] > 0
    assert "QUANTIZE" not in dynamic.graph.ops
    # The residual stream stays in float32 in both.
    for info in (int8, dynamic):
        assert [tensor.dtype for tensor in (*info.graph.inputs, *info.graph.outputs)] == [
            "uint8",
            "float32",
        ]


@pytest.mark.parametrize(
    ("name", "numbers", "share"),
    [
        ("weight-only.onnx", "float32", 0.40),
        ("dynamic.onnx", "int8", 0.45),
        ("vnni.onnx", "int8", 0.45),
        ("int4.onnx", "int8", 0.42),
    ],
)
def test_onnx_files_are_smaller_and_compute_as_they_say(
    smaller: dict[str, Exported], exported: Artifacts, name: str, numbers: str, share: float
) -> None:
    path = smaller[name].path
    assert path.stat().st_size < share * exported.onnx.stat().st_size
    info = inspect_artifact(path)
    arithmetic = info.arithmetic
    assert info.graph.custom_ops == ()
    most = max(arithmetic, key=lambda kind: arithmetic[kind].multiply_adds or 0)
    assert most == numbers
    told = smaller[name].manifest
    assert told.options["runs_on"]
    assert told.calibration is not None
    # Only where activations have calibrated ranges.
    ranged = name in ("vnni.onnx", "int4.onnx")
    assert told.calibration["method"] == ("minmax" if ranged else None)


@pytest.mark.parametrize("name", ["int4.onnx", "int4.tflite"])
def test_int4_of_a_model_without_large_layers_passes_with_a_margin(
    smaller: dict[str, Exported], name: str
) -> None:
    result = smaller[name]
    assert result.verification is not None
    (divergence,) = [
        check for check in result.verification.checks if check.name == "mean KL divergence"
    ]
    assert divergence.value < divergence.limit / 4
    # A third of the layers can be int4 at no cost to speak of; the manifest names them.
    names = result.manifest.options["int4_layers"]
    assert 3 <= len(names) <= 12
    arithmetic = inspect_artifact(result.path).arithmetic
    assert arithmetic["int4"].operators == len(names)
    assert {name.removesuffix("1") for name in names} >= {
        "block0/attention/query",
        "block5/mlp/dense",
    }


def test_the_schemes_are_listed_with_where_they_run() -> None:
    shown = run_command("schemes")
    assert shown.exit_code == 0
    told = json.loads(run_command("schemes", "--json").stdout)
    assert [entry["name"] for entry in told] == list(SCHEMES)
    for entry in told:
        assert set(entry["runs_on"]) <= {"saved_model", "tflite", "onnx"}
        assert set(entry["calibrated_in"]) <= set(entry["runs_on"])
    assert "onnxruntime 1.20" in next(e for e in told if e["name"] == "int4")["runs_on"]["onnx"]


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("onnx", ["--scheme", "full-int8"], r"onnx cannot express full-int8.*for tflite.*int4"),
        ("tflite", ["--scheme", "int3"], r"no scheme 'int3'; tflite has float32.*full-int8"),
        ("onnx", ["--scheme", "int4", "--opset", "20"], r"since opset 21.*is 20"),
        (
            "onnx",
            ["--quantize", "--keep-float", "block0/mlp/dens0"],
            r"Did you mean 'block0/mlp/dense0'",
        ),
        (
            "onnx",
            ["--quantize", "--calibration-split", "test"],
            r"cannot be used for calibration.*--force",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(
    small_model: Path, tmp_path: Path, command: str, options: list[str], message: str
) -> None:
    outcome = run_command(command, "--model", small_model, *options, "-o", tmp_path / "x")
    assert outcome.exit_code == 2
    assert re.search(message, outcome.error)
    assert list(tmp_path.iterdir()) == []


def test_quantize_is_short_for_scheme_int8(
    small_artifacts: Artifacts, small_model: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "quantize.tflite", tmp_path / "scheme.tflite"
    for target, options in ((first, ["--quantize"]), (second, ["--scheme", "int8", "--quantize"])):
        outcome = run_command("tflite", "--model", small_model, *options, "-o", target)
        assert outcome.exit_code == 0, outcome.stderr
    assert without_zip(first) == without_zip(second) == without_zip(small_artifacts.int8)
    assert without_zip(first) != without_zip(small_artifacts.tflite)


@pytest.mark.parametrize("scheme", ["float32", "float16", "dynamic-int8"])
def test_quantize_with_another_scheme_is_refused(
    small_model: Path, tmp_path: Path, scheme: str
) -> None:
    target = tmp_path / "x.tflite"
    outcome = run_command(
        "tflite", "--model", small_model, "--quantize", "--scheme", scheme, "-o", target
    )
    assert outcome.exit_code == 2
    assert scheme in outcome.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "scheme"), [("onnx", "float16"), ("tflite", "float16"), ("tflite", "dynamic-int8")]
)
def test_the_command_line_writes_every_scheme_under_a_name_that_tells_it(
    small_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    scheme: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run_command(command, "--model", small_model, "--scheme", scheme, "--json")
    assert outcome.exit_code == 0, outcome.stderr
    suffix = ".onnx" if command == "onnx" else ".tflite"
    name = f"small-{scheme}{suffix}"
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.json"}
    (told,) = json.loads(outcome.stdout)["artifacts"]
    assert (told["path"], told["scheme"]) == (name, scheme)


def test_float16_onnx_leaves_what_it_cannot_hold(small_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.onnx"
    Export(small_model, verify=False).run(Target("onnx", target, "float16"))
    stored = onnx.load(target).graph.initializer
    wide = [numpy_helper.to_array(tensor) for tensor in stored if tensor.data_type == FLOAT]
    # The diagonal mask of attention among 16 tokens.
    (mask,) = [values for values in wide if values.size == 16 * 16]
    np.testing.assert_array_equal(mask.reshape(16, 16), np.where(np.eye(16), np.float32(-1e9), 0))
    for tensor in stored:
        assert np.isfinite(numpy_helper.to_array(tensor)).all()
