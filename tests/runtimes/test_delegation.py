"""Tests of what runtimes tell of their delegates, against the graphs in the files."""

from pathlib import Path

import pytest

from tests.support.command_line import Artifacts
from vitsd_export.artifact.inspection import inspect_artifact
from vitsd_export.runtimes.delegation import list_counts
from vitsd_export.runtimes.litert_delegation import read_delegation
from vitsd_export.runtimes.litert_runner import LiteRTKernelsRunner, LiteRTRunner
from vitsd_export.runtimes.onnxruntime_delegation import summarize_profile
from vitsd_export.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from vitsd_export.runtimes.saved_model_runner import SavedModelRunner
from vitsd_export.runtimes.tensorflow_delegation import summarize_parts


def test_xnnpack_is_seen_to_take_all_but_the_cast(small_artifacts: Artifacts) -> None:
    operators = sum(inspect_artifact(small_artifacts.tflite).graph.ops.values())
    with LiteRTRunner(small_artifacts.tflite) as runner:
        told = runner.delegation()
    # The cast from uint8 has no kernel there.
    assert (told.partitions, told.delegated, told.operators) == (1, operators - 1, operators)
    assert told.note == "on LiteRT's own kernels: CAST ×1"
    assert "delegate" in told.provider


def test_without_xnnpack_nothing_is_seen_to_be_taken(small_artifacts: Artifacts) -> None:
    operators = sum(inspect_artifact(small_artifacts.tflite).graph.ops.values())
    with LiteRTKernelsRunner(small_artifacts.tflite) as runner:
        told = runner.delegation()
    assert (told.provider, told.partitions, told.delegated, told.operators) == (
        "LiteRT kernels",
        1,
        operators,
        operators,
    )


class Plan:
    """An interpreter's plan: eight nodes in a row, two parts of which are a delegate's."""

    def _get_ops_details(self) -> list[dict[str, object]]:
        # Tensor n is made by node n - 1 from tensor n - 1 and constant 100 + n.
        nodes = [
            {"index": n, "op_name": f"OP{n % 2}", "inputs": [n, 100 + n], "outputs": [n + 1]}
            for n in range(8)
        ]
        first = {"index": 8, "op_name": "DELEGATE", "inputs": [1, 101, 102], "outputs": [3]}
        second = {"index": 9, "op_name": "DELEGATE", "inputs": [4, 104, 105, 106], "outputs": [7]}
        return [*nodes, first, second]


def test_the_nodes_between_a_parts_borders_are_its_own() -> None:
    told = read_delegation(Plan(), "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
    assert (told.partitions, told.delegated, told.operators) == (2, 2 + 3, 8)
    assert told.provider == "XNNPACK delegate"
    assert told.note == "on LiteRT's own kernels: OP1 ×2, OP0 ×1"


def test_a_delegate_that_says_nothing_has_no_name() -> None:
    assert read_delegation(Plan(), "").provider == "a delegate without a name"


def test_onnxruntime_is_seen_to_run_every_node(small_artifacts: Artifacts) -> None:
    with OnnxRuntimeRunner(small_artifacts.onnx) as runner:
        told = runner.delegation()
    assert told.provider == "CPUExecutionProvider"
    assert told.partitions == 1
    assert told.operators == told.delegated
    assert told.operators is not None
    # Its optimizer fuses, and never adds many.
    assert (
        10 < told.operators <= 1.2 * sum(inspect_artifact(small_artifacts.onnx).graph.ops.values())
    )
    assert told.note.startswith("as it runs: ")


def event(name: str, op: str, provider: str) -> dict[str, object]:
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "args": {"op_name": op, "provider": provider},
    }


def test_nodes_of_several_providers_are_counted_in_parts() -> None:
    told = summarize_profile(
        [
            {"cat": "Session", "name": "model_run", "args": {}},
            event("a", "Gemm", "Fast"),
            event("b", "Gemm", "Fast"),
            {**event("b", "Gemm", "Fast"), "name": "b_fence_before"},
            event("c", "Erf", "Slow"),
            event("d", "Add", "Fast"),
        ]
    )
    assert (told.provider, told.partitions, told.delegated, told.operators) == ("Fast", 2, 3, 4)
    assert told.note == "on other providers: Slow ×1; as it runs: Gemm ×2, Add ×1, Erf ×1"


def test_tensorflow_tells_its_device(tiny_saved_model: Path) -> None:
    with SavedModelRunner(tiny_saved_model) as runner:
        told = runner.delegation()
    assert told is not None
    assert told.provider == "TensorFlow CPU:0"
    assert (told.partitions, told.delegated) == (1, told.operators)
    # One dense layer and its softmax; the matrix product may be oneDNN's, by another name.
    assert "MatMul" in told.note
    assert "Softmax" in told.note


def test_nodes_of_tensorflow_are_counted_by_device_and_by_onednn() -> None:
    pytest.importorskip("tensorflow")
    from tensorflow.core.framework.graph_pb2 import GraphDef

    graphs = [GraphDef(), GraphDef()]
    for graph, device, ops in (
        (graphs[0], "CPU:0", ("_Arg", "Const", "_MklMatMul", "AddV2", "_MklMatMul")),
        (graphs[1], "GPU:0", ("Softmax", "_Retval")),
    ):
        for op in ops:
            graph.node.add(op=op, device=f"/job:localhost/replica:0/task:0/device:{device}")
    told = summarize_parts(graphs)
    assert (told.provider, told.partitions) == ("TensorFlow CPU:0", 1)
    assert (told.delegated, told.operators) == (3, 4)
    assert told.note == "oneDNN's kernels: 2; as it runs: _MklMatMul ×2, AddV2 ×1, Softmax ×1"


@pytest.mark.parametrize(
    ("most", "text"), [(2, "a ×3, b ×2, …"), (3, "a ×3, b ×2, c ×1"), (9, "a ×3, b ×2, c ×1")]
)
def test_long_lists_are_cut(most: int, text: str) -> None:
    assert list_counts({"a": 3, "b": 2, "c": 1}, most) == text


def test_the_runner_still_answers_after_it_told(tiny_onnx: Path, tiny_tflite: Path) -> None:
    import numpy as np

    from tests.support.tiny_artifacts import IMAGES, reference_probabilities

    for runner in (OnnxRuntimeRunner(tiny_onnx), LiteRTRunner(tiny_tflite)):
        with runner:
            runner.delegation()
            np.testing.assert_allclose(
                runner.probabilities(IMAGES), reference_probabilities(IMAGES), atol=1e-5
            )
