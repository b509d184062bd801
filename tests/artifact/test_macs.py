"""What artifacts multiply, counted from their files, against the cost of the graph they were made from."""

import json
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from tests.support.command_line import Artifacts, run_command
from tests.support.keras_models import TINY_MODEL
from vitsd_export.artifact.inspection import inspect_artifact
from vitsd_export.artifact.macs import Product, sum_up
from vitsd_export.artifact.onnx_macs import find_products


@pytest.fixture(scope="module")
def lowered_multiply_adds() -> int:
    """Multiply-adds of the bundled model's lowered graph."""
    from vitsd_export.lowering.cost import cost
    from vitsd_export.lowering.inference_graph import InferenceGraph
    from vitsd_export.sources.checkpoint import load_model

    graph = InferenceGraph(load_model(TINY_MODEL), answers_probabilities=False).lowered
    assert graph is not None
    return cost(graph).multiply_adds


@pytest.mark.parametrize("kind", ["onnx", "tflite", "int8", "onnx_int8"])
def test_every_format_has_the_graphs_multiply_adds(
    exported: Artifacts, kind: str, lowered_multiply_adds: int
) -> None:
    arithmetic = inspect_artifact(getattr(exported, kind)).arithmetic
    counted = [group.multiply_adds for group in arithmetic.values()]
    if kind in ("tflite", "int8"):
        # LiteRT may write the patches' mean and variance as other operators than products.
        assert None not in counted
        total = sum(count or 0 for count in counted)
        assert 0.98 * lowered_multiply_adds <= total <= lowered_multiply_adds
    else:
        # And onnxruntime has the mean over the tokens as no product either.
        assert sum(count or 0 for count in counted) == lowered_multiply_adds


@pytest.mark.parametrize("kind", ["int8", "onnx_int8"])
def test_an_int8_file_computes_in_int8(exported: Artifacts, kind: str) -> None:
    arithmetic = inspect_artifact(getattr(exported, kind)).arithmetic
    assert set(arithmetic) == {"float32", "int8"}
    integers, floats = arithmetic["int8"], arithmetic["float32"]
    assert integers.operators >= 6 * 6 + 1
    assert integers.multiply_adds is not None
    assert floats.multiply_adds is not None
    # What is left in float is the attention core, and what is done to the pixels.
    assert integers.multiply_adds > 4 * floats.multiply_adds
    assert integers.bytes > 430_000


def test_a_float_file_computes_in_float(exported: Artifacts) -> None:
    for path in (exported.onnx, exported.tflite):
        assert set(inspect_artifact(path).arithmetic) == {"float32"}


def test_inspect_tells_of_it(exported: Artifacts) -> None:
    outcome = run_command("inspect", exported.onnx_int8)
    # Six in each of six blocks, and the logits; the layer of the patches is in float.
    assert "int8: 37," in outcome.stdout
    told = json.loads(run_command("inspect", exported.onnx_int8, "--json").stdout)
    assert told["arithmetic"]["int8"]["multiply_adds"] > 20_000_000


def test_sums_do_not_hide_what_is_not_known() -> None:
    products = [
        Product("a", "float32", 10, 4),
        Product("b", "int8", None, 2),
        Product("c", "int8", 7, 3),
    ]
    told = sum_up(products)
    assert (told["float32"].operators, told["float32"].multiply_adds) == (1, 10)
    assert (told["int8"].operators, told["int8"].multiply_adds, told["int8"].bytes) == (2, None, 5)


def test_products_of_other_tools(tmp_path: Path) -> None:
    tensor = helper.make_tensor
    weights = [
        tensor("blocks", TensorProto.UINT8, (8, 2, 8), bytes(128), raw=True),
        tensor("scales", TensorProto.FLOAT, (8, 2), [1.0] * 16),
        tensor("integers", TensorProto.INT8, (8, 4), bytes(32), raw=True),
        tensor("zero", TensorProto.UINT8, (), [128]),
    ]
    nodes = [
        helper.make_node(
            "MatMulNBits",
            ["x", "blocks", "scales"],
            ["y"],
            "in_blocks",
            domain="com.microsoft",
            K=32,
            N=8,
            bits=4,
            block_size=16,
        ),
        helper.make_node("MatMulInteger", ["q", "integers", "zero"], ["i"], "in_integers"),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "others",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, 32)),
                helper.make_tensor_value_info("q", TensorProto.UINT8, ("n", 8)),
            ],
            [
                helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
                helper.make_tensor_value_info("i", TensorProto.INT32, None),
            ],
            weights,
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
    )
    assert list(find_products(model)) == [
        Product("in_blocks", "int4", 3 * 32 * 8, 128),
        Product("in_integers", "int8", 8 * 4, 32),
    ]
