"""The PyTorch network beside Keras; left out where PyTorch is not installed."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.keras_models import convolutional_network, keras_logits, small_transformer
from vitsd_export.errors import InputError, VerificationError

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def resized() -> Any:
    """A model with everything that `vit-small-ds` has: resizing, a flat head, dropout, several blocks."""
    return small_transformer(
        image_size=48,
        patch_size=6,
        depth=2,
        head="flatten",
        head_units=(24, 12),
        attention_dropout=0.1,
        mlp_dropout=0.1,
        head_dropout=0.5,
    )


@pytest.mark.parametrize("kind", ["mean", "flatten"])
def test_network_answers_as_keras(kind: str, resized: Any, images: np.ndarray) -> None:
    from benchmarks.baselines.torch_weights import copy_to_torch

    model = resized if kind == "flatten" else small_transformer(depth=2)
    for layer in model.layers:
        # No weight may be left at a value that hides a wrong copy.
        layer.set_weights([_shaken(values) for values in layer.get_weights()])
    pixels = images[:16].astype(np.float32)
    expected = np.asarray(model(pixels, training=False))
    answers = copy_to_torch(model)(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(answers, expected, atol=1e-4 * np.abs(expected).max())
    assert np.ptp(expected) > 0.1


def test_every_weight_of_keras_is_in_the_network(resized: Any) -> None:
    from benchmarks.baselines.torch_weights import copy_to_torch

    network = copy_to_torch(resized)
    held = sum(parameter.numel() for parameter in network.parameters())
    assert held == sum(int(np.prod(weight.shape)) for weight in resized.trainable_weights)


def test_patch_order_is_that_of_the_tokenizer() -> None:
    from benchmarks.baselines.torch_weights import patch_order

    patch = 4
    order = patch_order(patch)
    for channel, row, column in ((0, 0, 0), (7, 1, 2), (14, 3, 3)):
        place = channel * patch * patch + row * patch + column
        assert order[place] == (row * patch + column) * 15 + channel


def test_runner_and_onnx_answer_as_keras(
    small_model: Path, images: np.ndarray, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    from benchmarks.isolated import run_module
    from benchmarks.torch_runner import TorchRunner
    from vitsd_export.runtimes import open_runner

    maker = "benchmarks.baselines.torch_files"
    own, onnx = tmp_path / "network.pt", tmp_path / "network.onnx"
    for function, target in (("write_torch", own), ("export_torch_onnx", onnx)):
        arguments = [f"{maker}:{function}", str(small_model), str(target)]
        assert run_module("benchmarks.baselines", arguments, timeout=300) is None
    expected = keras_logits(small_model, images[:5])
    TorchRunner.prepare(1)
    with TorchRunner(own, threads=1) as runner:
        assert runner.output_meaning == "logits"
        np.testing.assert_allclose(runner.run(images[:5]), expected, atol=1e-3)
    with open_runner(onnx) as runner:
        # Any number of images, although it was exported with two.
        np.testing.assert_allclose(runner.run(images[:5]), expected, atol=1e-3)
        np.testing.assert_allclose(runner.run(images[:1]), expected[:1], atol=1e-3)


def test_other_architecture_is_refused() -> None:
    from benchmarks.baselines.torch_weights import copy_to_torch

    with pytest.raises(InputError, match="no layer"):
        copy_to_torch(convolutional_network())


def test_unequal_network_is_refused(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.baselines import torch_files, torch_weights

    read = torch_weights.read_shape
    monkeypatch.setattr(
        torch_weights, "read_shape", lambda model: dataclasses.replace(read(model), epsilon=10.0)
    )
    with pytest.raises(VerificationError, match="differ from Keras"):
        torch_files.equal_network(str(small_model))


def _shaken(values: np.ndarray) -> np.ndarray:
    if values.dtype != np.float32 or not values.ndim:
        return values
    return values * np.random.default_rng(values.size).uniform(0.5, 1.5, values.shape)
