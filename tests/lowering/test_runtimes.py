"""The lowered graph in each runtime, against float64."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.support.float64_program import evaluate
from tests.support.keras_models import TINY_MODEL, loaded
from tests.support.lowered_graphs import KINDS, all_names, pixels, relative_error
from tests.support.small_models import build_small
from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.data.sample import load_sample
from vitsd_export.exporters.litert import convert
from vitsd_export.exporters.onnx import write_onnx
from vitsd_export.lowering.graph import Dense, LowRankDense
from vitsd_export.lowering.inference_graph import InferenceGraph
from vitsd_export.lowering.reading import read_graph
from vitsd_export.sources.checkpoint import LoadedModel, load_model

FLOAT32 = 2e-5


def inference_graph(model: Any, without: list[str]) -> InferenceGraph:
    """A model's inference graph with logits out."""
    return InferenceGraph(
        loaded(model), answers_probabilities=False, output="logits", without=without
    )


def in_onnxruntime(graph: InferenceGraph, images: np.ndarray, path: Path, opset: int) -> np.ndarray:
    """What onnxruntime answers."""
    write_onnx(graph, path, opset=opset)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": images})[0])


def in_litert(graph: InferenceGraph, images: np.ndarray) -> np.ndarray:
    """What LiteRT answers."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet_converters():
        content = convert(graph, batch=len(images))
    runner = Interpreter(model_content=content).get_signature_runner("serving_default")
    return np.asarray(runner(image=images)["logits"])


@pytest.mark.parametrize("left_out", ["none", *all_names(), "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_choice_of_rewrites_runs_in_onnxruntime_and_tensorflow(
    kind: str, left_out: str, tmp_path: Path
) -> None:
    without = {"none": [], "all": all_names()}.get(left_out, [left_out])
    model = build_small(**KINDS[kind])
    trained = read_graph(model, all_float64=True)
    images = pixels(trained).astype(np.uint8)
    expected = evaluate(trained, images)
    graph = inference_graph(model, without)
    assert not set(graph.rewrites) & set(without)
    (answers,) = graph.concrete_function(None)(images).values()
    assert relative_error(np.asarray(answers), expected) <= FLOAT32
    # Which operators an opset has does not depend on the rewrites: all of them are tried at the two ends.
    for opset in (13, 17, 21) if left_out in ("none", "all") else (21,):
        answers = in_onnxruntime(graph, images, tmp_path / f"{opset}.onnx", opset)
        assert relative_error(answers, expected) <= FLOAT32


@pytest.mark.parametrize("left_out", ["none", "query-key", "value-output", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_choices_that_change_the_layout_run_in_litert(kind: str, left_out: str) -> None:
    without = {"none": [], "all": all_names()}.get(left_out, [left_out])
    model = build_small(**KINDS[kind])
    trained = read_graph(model, all_float64=True)
    images = pixels(trained).astype(np.uint8)
    answers = in_litert(inference_graph(model, without), images)
    assert relative_error(answers, evaluate(trained, images)) <= FLOAT32


def test_a_head_of_low_rank_runs_in_every_runtime(tmp_path: Path) -> None:
    graph = inference_graph(build_small(**{**KINDS["wide heads"], "head_units": (24, 16)}), [])
    assert graph.lowered is not None
    assert graph.lowered.head is not None
    rng = np.random.default_rng(5)
    hidden: list[Dense | LowRankDense] = list(graph.lowered.head.hidden)
    hidden[0] = LowRankDense(
        Dense(rng.normal(size=(128, 5)) / 8, rng.normal(size=5)),
        Dense(rng.normal(size=(5, 24)), rng.normal(size=24)),
    )
    head = dataclasses.replace(graph.lowered.head, hidden=tuple(hidden))
    graph.lowered = dataclasses.replace(graph.lowered, head=head)
    images = pixels(graph.lowered).astype(np.uint8)
    expected = evaluate(graph.lowered, images)
    (answers,) = graph.concrete_function(None)(images).values()
    assert relative_error(np.asarray(answers), expected) <= FLOAT32
    in_onnx = in_onnxruntime(graph, images, tmp_path / "x.onnx", 21)
    assert relative_error(in_onnx, expected) <= FLOAT32
    assert relative_error(in_litert(graph, images), expected) <= FLOAT32
    names = [node.name for node in onnx.load(tmp_path / "x.onnx").graph.node]
    assert "head/dense0/reduced" in names


@pytest.fixture(scope="module")
def bundled() -> LoadedModel:
    """The bundled model with its trained weights."""
    return load_model(TINY_MODEL)


@pytest.fixture(scope="module")
def all_images() -> np.ndarray:
    """All bundled images."""
    names = ("verification", "calibration")
    return np.concatenate([load_sample(name).images for name in names])


def test_all_rewrites_keep_the_logits_of_trained_weights_on_all_images(
    bundled: LoadedModel, all_images: np.ndarray, tmp_path: Path
) -> None:
    expected = np.asarray(bundled.model(all_images.astype(np.float32), training=False))
    graph = InferenceGraph(bundled, answers_probabilities=False, output="logits")
    lowered = in_onnxruntime(graph, all_images, tmp_path / "x.onnx", 21)
    (tensorflow,) = graph.concrete_function(None)(all_images).values()
    for answers in (lowered, np.asarray(tensorflow)):
        assert np.abs(answers - expected).max() <= 1e-5
        np.testing.assert_array_equal(answers.argmax(axis=1), expected.argmax(axis=1))


def test_onnx_has_clean_nodes_named_by_block(bundled: LoadedModel, tmp_path: Path) -> None:
    graph = InferenceGraph(bundled, answers_probabilities=False)
    write_onnx(graph, tmp_path / "x.onnx")
    nodes = onnx.load(tmp_path / "x.onnx").graph.node
    kinds = [node.op_type for node in nodes]
    assert not {"Shape", "Gather", "GlobalAveragePool", "Erf", "Constant", "Identity"} & set(kinds)
    # Pixels are cast, and the mask, and nothing else.
    assert kinds.count("Cast") == 2
    assert kinds.count("LayerNormalization") == 2 * 6 + 1
    assert kinds.count("Gelu") == 2 * 6
    names = [node.name for node in nodes]
    assert len(set(names)) == len(names)
    assert all(node.output[0] == node.name for node in nodes)
    for name in ("tokenizer/projection", "block3/attention/scores", "block5/mlp/gelu1", "logits"):
        assert name in names


def test_attention_to_tokens_moves_no_axes_in_onnx(tmp_path: Path) -> None:
    graph = inference_graph(build_small(**KINDS["wide heads"]), [])
    write_onnx(graph, tmp_path / "x.onnx")
    nodes = onnx.load(tmp_path / "x.onnx").graph.node
    moved = [node.name for node in nodes if node.op_type == "Transpose" and "block" in node.name]
    # Those that onnxruntime fuses into the product after them.
    assert moved == [f"block{index}/attention/scores/transposed" for index in range(2)]


def test_litert_gets_fewer_operators_and_delegates_all_of_them(bundled: LoadedModel) -> None:
    from ai_edge_litert.interpreter import Interpreter

    counts = {}
    for lowering in (True, False):
        graph = InferenceGraph(bundled, answers_probabilities=False, lowering=lowering)
        with quiet_converters():
            content = convert(graph)
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        operators = [entry["op_name"] for entry in interpreter._get_ops_details()]
        counts[lowering] = len(operators)
        # XNNPACK takes the whole graph in one part.
        if lowering:
            assert operators.count("DELEGATE") == 1
    assert counts[True] < 0.9 * counts[False], counts


@pytest.mark.parametrize("opset", [13, 16, 18, 21])
def test_onnxruntime_runs_single_norms_and_gelus_at_every_opset(opset: int, tmp_path: Path) -> None:
    graph = inference_graph(build_small(**KINDS["wide heads"]), [])
    write_onnx(graph, tmp_path / "x.onnx", opset=opset)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(
        str(tmp_path / "x.onnx"), options, providers=["CPUExecutionProvider"]
    )
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    # Two blocks with two norms and two GELUs each, the last norm, and a head with two GELUs.
    assert kinds.count("LayerNormalization") == 5
    assert kinds.count("Gelu") == 2 * 2 + 2
    assert not {"Erf", "Pow", "ReduceMean"} & set(kinds)
    # The keys' transposition is part of the product.
    assert kinds.count("FusedMatMul") == 2
