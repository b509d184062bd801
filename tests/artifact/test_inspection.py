"""Tests of describing artifacts without running them."""

import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.tiny_artifacts import (
    BIAS,
    CLASSES,
    LABELS,
    SIZE,
    WEIGHTS,
    onnx_model,
    write_onnx,
    write_saved_model,
    write_sidecar,
    write_tflite,
)
from vitsd_export.artifact.graph_summary import Weights
from vitsd_export.artifact.inspection import inspect_artifact
from vitsd_export.errors import InputError
from vitsd_export.runtimes import open_runner

PARAMETERS = WEIGHTS.size + BIAS.size


def _plain(info: Any) -> dict[str, Any]:
    """The description as it comes back out of JSON, which refuses what is no plain data."""
    return json.loads(json.dumps(info.to_dict(), allow_nan=False))


def test_onnx_is_described(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "tiny.onnx")
    info = inspect_artifact(path)
    assert info.graph.versions == {"ir_version": 8, "opset": 17, "producer": "tiny"}
    # The white level is a number the graph computes with; the target shape of Reshape is not.
    assert info.graph.parameters == PARAMETERS + 1
    assert info.graph.weights == {
        "float32": Weights(3, PARAMETERS + 1, 4 * (PARAMETERS + 1)),
        "int64": Weights(1, 2, 16),
    }
    assert [node.op for node in info.graph.nodes if node.op in info.graph.ops] == [
        node.op_type for node in onnx_model().graph.node
    ]
    assert info.manifest is not None
    assert info.manifest.source["name"] == "tiny"
    plain = _plain(info)
    assert plain["path"] == str(path)
    assert plain["format"] == "onnx"
    assert plain["bytes"] == path.stat().st_size
    assert plain["inputs"] == [{"name": "image", "dtype": "uint8", "shape": [None, SIZE, SIZE, 3]}]
    assert plain["outputs"] == [
        {"name": "probabilities", "dtype": "float32", "shape": [None, CLASSES]}
    ]
    assert plain["ops"] == {"Add": 1, "Cast": 1, "Div": 1, "MatMul": 1, "Reshape": 1, "Softmax": 1}
    assert plain["custom_ops"] == []
    assert plain["scheme"] == "float32"
    assert plain["labels"] == list(LABELS)
    assert plain["verification"] == {"passed": True}


def test_litert_is_described(tmp_path: Path) -> None:
    path = write_tflite(tmp_path / "tiny.tflite")
    info = inspect_artifact(path)
    assert info.graph.versions["schema"] == 3
    assert info.graph.weights["float32"].bytes == 4 * info.graph.weights["float32"].elements
    assert PARAMETERS <= info.graph.parameters <= PARAMETERS + 1
    plain = _plain(info)
    assert plain["format"] == "tflite"
    assert plain["inputs"] == [{"name": "image", "dtype": "uint8", "shape": [1, SIZE, SIZE, 3]}]
    assert plain["outputs"] == [
        {"name": "probabilities", "dtype": "float32", "shape": [1, CLASSES]}
    ]
    assert plain["ops"]["FULLY_CONNECTED"] == plain["ops"]["SOFTMAX"] == 1
    assert plain["custom_ops"] == []
    assert plain["labels"] == list(LABELS)


def test_quantized_and_dynamic_litert_is_described(tmp_path: Path) -> None:
    quantized = inspect_artifact(
        write_tflite(tmp_path / "int8.tflite", dtype="float32", quantized_as="int8")
    )
    assert quantized.graph.inputs[0].dtype == quantized.graph.outputs[0].dtype == "int8"
    assert quantized.graph.weights["int8"].bytes >= WEIGHTS.size
    # The bias of a quantized layer is int32 and counts; the int32 shape of a reshape does not.
    assert PARAMETERS <= quantized.graph.parameters <= PARAMETERS + 1
    dynamic = inspect_artifact(
        write_tflite(tmp_path / "dynamic.tflite", dtype="float32", batch=None)
    )
    assert dynamic.graph.inputs[0].shape == (None, SIZE, SIZE, 3)


def test_saved_model_is_described(tmp_path: Path) -> None:
    folder = write_saved_model(tmp_path / "tiny")
    info = inspect_artifact(folder)
    assert info.graph.weights["float32"].elements >= PARAMETERS
    assert PARAMETERS <= info.graph.parameters <= PARAMETERS + 1
    assert str(info.graph.versions["producer"]).startswith("tensorflow ")
    plain = _plain(info)
    assert plain["format"] == "saved_model"
    assert plain["bytes"] == sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    assert plain["inputs"] == [{"name": "image", "dtype": "uint8", "shape": [None, SIZE, SIZE, 3]}]
    assert plain["outputs"] == [
        {"name": "probabilities", "dtype": "float32", "shape": [None, CLASSES]}
    ]
    # The network lies in functions that the signature calls.
    assert plain["ops"]["MatMul"] == plain["ops"]["Softmax"] == 1
    assert plain["scheme"] == "float32"


def test_foreign_artifact_has_no_provenance(tmp_path: Path) -> None:
    info = inspect_artifact(write_onnx(tmp_path / "foreign.onnx", with_manifest=False))
    assert info.manifest is None
    assert (info.scheme, info.manifest) == (None, None)


def test_ops_of_subgraphs_functions_and_other_domains_are_counted(tmp_path: Path) -> None:
    model = onnx_model()
    constant = numpy_helper.from_array(np.ones(CLASSES, np.float32), "ones")
    branches = {
        name: helper.make_graph(
            [
                helper.make_node("Constant", [], [f"{name}_ones"], value=constant),
                helper.make_node("Mul", ["sum", f"{name}_ones"], [f"{name}_scaled"]),
            ],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_scaled", TensorProto.FLOAT, None)],
        )
        for name in ("then_branch", "else_branch")
    }
    softmax = model.graph.node.pop()
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "condition"))
    model.graph.node.extend(
        [
            helper.make_node("If", ["condition"], ["chosen"], **branches),
            helper.make_node("Gelu", ["chosen"], ["curved"], domain="com.microsoft"),
            helper.make_node("Softmax", ["curved"], list(softmax.output), axis=-1),
        ]
    )
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    path = tmp_path / "nested.onnx"
    path.write_bytes(model.SerializeToString())
    info = inspect_artifact(path)
    assert info.graph.ops["Mul"] == info.graph.ops["Constant"] == 2
    assert info.graph.ops["If"] == info.graph.ops["com.microsoft.Gelu"] == 1
    assert next(iter(info.graph.ops.values())) == 2
    assert info.graph.custom_ops == ("com.microsoft.Gelu",)
    assert info.graph.versions["opset com.microsoft"] == 1
    assert info.graph.parameters == PARAMETERS + 1 + 2 * CLASSES


def test_packed_and_typed_onnx_weights_have_their_bytes(tmp_path: Path) -> None:
    model = onnx_model()
    model.opset_import[0].version = 21
    model.ir_version = 10
    model.graph.initializer.extend(
        [
            helper.make_tensor("nibbles", TensorProto.INT4, [5], [1, -2, 3, -4, 5]),
            helper.make_tensor("halves", TensorProto.FLOAT16, [3], [1.0, 2.0, 3.0]),
        ]
    )
    path = tmp_path / "packed.onnx"
    path.write_bytes(model.SerializeToString())
    weights = inspect_artifact(path).graph.weights
    assert weights["int4"] == Weights(1, 5, 3)
    assert weights["float16"] == Weights(1, 3, 6)


def test_flex_op_is_told_and_refused_by_the_runner(tmp_path: Path) -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([1, SIZE, SIZE, 3], tf.float32, name="image")])
    def determinants(image: Any) -> dict[str, Any]:
        return {"determinants": tf.linalg.det(tf.reshape(image, [12, 4, 4]))}

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [determinants.get_concrete_function()], tf.Module()
    )
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    path = tmp_path / "flex.tflite"
    path.write_bytes(converter.convert())
    assert inspect_artifact(path).graph.custom_ops == ("FlexMatrixDeterminant",)
    with pytest.raises(InputError, match="LiteRT cannot run it"):
        open_runner(path)


def test_damaged_layout_is_refused_even_if_a_digest_vouches_for_it(tmp_path: Path) -> None:
    path = write_tflite(tmp_path / "tiny.tflite", with_manifest=False)
    data = path.read_bytes()
    # Deterministic rubbish behind a sound start.
    rng = np.random.default_rng(zlib.crc32(b"rubbish"))
    path.write_bytes(data[:16] + rng.bytes(len(data) - 16))
    write_sidecar(path, "tflite")
    with pytest.raises(InputError, match=r"tiny\.tflite cannot be used: its layout is damaged"):
        inspect_artifact(path)


def test_onnx_and_litert_need_no_tensorflow(tmp_path: Path) -> None:
    paths = (write_onnx(tmp_path / "tiny.onnx"), write_tflite(tmp_path / "tiny.tflite"))
    program = (
        "import sys\n"
        "from vitsd_export.artifact.inspection import inspect_artifact\n"
        "assert not {'onnx', 'ai_edge_litert'} & set(sys.modules)\n"
        "for path in sys.argv[1:]:\n"
        "    assert inspect_artifact(path).scheme == 'float32'\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'torch', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    command = [sys.executable, "-c", program, *map(str, paths)]
    root = Path(__file__).parents[2]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
