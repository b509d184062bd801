"""Noise of an artifact's layers, against NumPy and against noise that was put there."""

import dataclasses
import math
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.command_line import Artifacts
from tests.support.float64_program import evaluate
from tests.support.keras_models import TINY_MODEL
from tests.support.lowered_graphs import KINDS
from tests.support.small_models import build_small
from vitsd_export.errors import InputError
from vitsd_export.lowering.dense_layers import dense_layers, map_dense
from vitsd_export.lowering.graph import Dense, Graph
from vitsd_export.lowering.reading import read_graph
from vitsd_export.lowering.rewrites import rewrite
from vitsd_export.measure.layer_error import measure_sensitivity
from vitsd_export.measure.tensor_readers import (
    GraphReader,
    Read,
    match_names,
    open_reader,
)
from vitsd_export.quantization.calibration.isolated_layers import isolated_sensitivity
from vitsd_export.reports.quantization_plots import write_sensitivity_plot
from vitsd_export.sources.checkpoint import load_model

_RNG = np.random.default_rng(3)


class Tensors:
    """A network that answers with a part of the pixels, and noise."""

    def __init__(self, noise: dict[str, float], suffix: str = "") -> None:
        self.noise = {name + suffix: level for name, level in noise.items()}
        self.names = self.candidates = tuple(self.noise)

    def reading(self, names: Collection[str]) -> Read:
        def read(images: np.ndarray) -> dict[str, np.ndarray]:
            values = images.reshape(len(images), -1).astype(np.float32)
            signs = np.where(np.arange(values.shape[1]) % 2, 1, -1).astype(np.float32)
            return {name: values + signs * np.float32(self.noise[name]) for name in names}

        return read


PICTURES = _RNG.integers(1, 256, (70, 4, 4, 3), dtype=np.uint8)


def test_ratios_are_those_of_the_noise_the_worst_first() -> None:
    reference = Tensors({"a": 0, "b": 0, "c": 0, "d": 0})
    artifact = Tensors({"a": 0.5, "b": 4, "c": 0}, "_dequant")
    done: list[int] = []
    found = measure_sensitivity(reference, artifact, PICTURES, done.append)
    assert [layer.name for layer in found.layers] == ["b", "a", "c"]
    assert [layer.name for layer in found.in_order] == ["a", "b", "c"]
    assert found.missing == ("d",)
    assert done == [32, 64, 70]
    power = np.mean(PICTURES.astype(np.float64) ** 2)
    for layer, noise in zip(found.layers, (4, 0.5), strict=False):
        assert layer.sqnr == pytest.approx(10 * math.log10(power / noise**2), abs=1e-6)
        assert layer.max_abs_difference == noise
    assert found.layers[2].sqnr == math.inf
    assert found.to_dict()["layers"][2]["sqnr"] is None


def test_what_is_no_number_is_the_worst() -> None:
    found = measure_sensitivity(
        Tensors({"a": 0, "b": 0}), Tensors({"a": 3, "b": math.nan}), PICTURES
    )
    assert [layer.name for layer in found.layers] == ["b", "a"]
    assert found.layers[0].sqnr == -math.inf


def test_networks_without_a_common_layer_are_refused() -> None:
    with pytest.raises(InputError, match="no layer of the reference's: x against a"):
        measure_sensitivity(Tensors({"a": 0}), Tensors({"x": 0}), PICTURES)
    with pytest.raises(InputError, match="no images"):
        measure_sensitivity(Tensors({"a": 0}), Tensors({"a": 0}), PICTURES[:0])


@pytest.mark.parametrize(
    ("artifact", "partner"),
    [
        ("block0/mlp/dense1", "block0/mlp/dense1"),
        ("block0/mlp/dense11", "block0/mlp/dense1"),
        ("block0/mlp/dense0/product;block0/mlp/dense0", "block0/mlp/dense0"),
        ("block0/mlp/dense0/product;block0/mlp/dense0_dequant", "block0/mlp/dense0"),
        ("logits_DequantizeLinear_Output", "logits"),
        ("logits_output_quantized", None),
        ("block0/mlp/dense2", None),
        ("dense0", None),
    ],
)
def test_names_that_tools_have_changed_are_recognised(artifact: str, partner: str | None) -> None:
    reference = ["block0/mlp/dense0", "block0/mlp/dense1", "logits"]
    assert match_names(reference, [artifact]) == ({partner: artifact} if partner else {})


def test_the_very_name_is_taken_before_one_that_is_changed() -> None:
    assert match_names(["a/b"], ["a/b1", "a/b_quantized", "a/b"]) == {"a/b": "a/b"}


def test_float_artifacts_have_all_layers_and_no_noise(
    exported: Artifacts, images: np.ndarray
) -> None:
    graph = rewrite(read_graph(load_model(TINY_MODEL).model))[-1].graph
    for path in (exported.onnx, exported.tflite):
        found = measure_sensitivity(GraphReader(graph), open_reader(path), images[:3])
        assert found.missing == ()
        assert [layer.name for layer in found.in_order] == list(dense_layers(graph))
        assert found.layers[0].sqnr > 110
    found = measure_sensitivity(GraphReader(graph), open_reader(exported.int8), images[:3])
    assert found.missing == ()
    assert 15 < found.layers[0].sqnr < found.layers[-1].sqnr < 60


def test_a_saved_model_cannot_be_read(exported: Artifacts) -> None:
    with pytest.raises(InputError, match="Give an ONNX or LiteRT file"):
        open_reader(exported.saved_model)


def small_graph() -> Graph:
    model = build_small(**KINDS["wide heads"])
    return rewrite(read_graph(model, all_float64=True))[-1].graph


def photos(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 10, 10, 3), dtype=np.uint8)


def test_isolated_noise_is_that_of_one_layers_weights_and_inputs() -> None:
    graph, images = small_graph(), photos(40)
    expected = evaluate(graph, images)
    labels = expected.argmax(axis=1)
    found = {layer.name: layer for layer in isolated_sensitivity(graph, images, labels, levels=7)}
    assert set(found) == set(dense_layers(graph))
    # Rounding of the weights alone, in float64, is nearly all of the noise at four bits.
    for name in ("block0/mlp/dense0", "head/dense1", "logits"):

        def rounded(at: str, layer: Dense, name: str = name) -> Dense:
            if at != name:
                return layer
            scale = np.abs(layer.kernel).max(axis=0) / 7
            return Dense(np.rint(layer.kernel / scale) * scale, layer.bias)

        answer = evaluate(map_dense(graph, rounded), images)
        ratio = 10 * math.log10(np.square(expected).sum() / np.square(answer - expected).sum())
        assert found[name].sqnr == pytest.approx(ratio, abs=0.5)
        share = np.mean(answer.argmax(axis=1) == labels)
        assert found[name].agreement == pytest.approx(share, abs=2 / 40)
        assert found[name].top1_loss == pytest.approx(100 * (1 - found[name].agreement))
    ratios = [layer.sqnr for layer in isolated_sensitivity(graph, images, levels=7)]
    assert ratios == sorted(ratios)


def test_a_layer_of_zeros_loses_nothing_by_itself() -> None:
    graph, images = small_graph(), photos(5)
    head = graph.head
    assert head is not None
    zeros = Dense(np.zeros_like(head.logits.kernel), head.logits.bias)
    graph = dataclasses.replace(graph, head=dataclasses.replace(head, logits=zeros))
    found = isolated_sensitivity(graph, images)
    assert all(layer.sqnr == math.inf and layer.agreement == 1 for layer in found)
    assert all(layer.top1_loss is None for layer in found)


def test_the_plot_shows_a_bar_for_each_layer(tmp_path: Path) -> None:
    noise = {f"layer{number}": float(number) for number in range(12)}
    found = measure_sensitivity(Tensors(dict.fromkeys(noise, 0.0)), Tensors(noise), PICTURES)
    write_sensitivity_plot(found, tmp_path / "x.png", "x_$y.tflite")
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.width > 800
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 3
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
