"""Keras models that other people's code made."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.support.command_line import Artifacts, export_everything, run_command
from tests.support.keras_models import convolutional_network, softmax
from vitsd_export.runtimes import open_runner


@pytest.fixture(scope="module")
def network() -> Any:
    """A convolutional network with logits."""
    return convolutional_network()


@pytest.fixture(scope="module")
def artifacts(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """What `vitsd-export all` makes of it."""
    folder = tmp_path_factory.mktemp("foreign")
    network.save(folder / "cnn.keras")
    (folder / "labels.txt").write_text("animal\nvehicle\n", encoding="utf-8")
    return export_everything(
        folder / "cnn.keras", "cnn", folder / "out", "--labels", folder / "labels.txt"
    )


@pytest.mark.parametrize("kind", ["onnx", "tflite", "saved_model", "int8"])
def test_a_convolutional_network_goes_into_every_format(
    network: Any, artifacts: Artifacts, images: np.ndarray, kind: str
) -> None:
    expected = softmax(np.asarray(network(images.astype(np.float32), training=False)))
    with open_runner(getattr(artifacts, kind)) as runner:
        answers = runner.probabilities(images)
        assert runner.labels == ("animal", "vehicle")
    if kind == "int8":
        assert (answers.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.98
    else:
        np.testing.assert_allclose(answers, expected, atol=1e-4)


def test_it_is_exported_unlowered(artifacts: Artifacts) -> None:
    progress = artifacts.outcome.stderr
    assert progress.count("exporting the training graph: its architecture is not supported") == 1


# The fast tests export MobileNetV3 to both: tests/sources/test_any_classifier.py.
@pytest.mark.slow
def test_mobilenet_goes_into_onnx_and_litert(images: np.ndarray, tmp_path: Path) -> None:
    keras.utils.set_random_seed(5)
    network = keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), alpha=0.35, weights=None, classes=10
    )
    # Untrained, it gives all classes nearly the same; so that there is a first among them:
    kernel, bias = network.layers[-1].get_weights()
    network.layers[-1].set_weights([kernel * 50, np.linspace(-2, 2, len(bias))])
    network.save(tmp_path / "mobilenet.keras")
    expected = np.asarray(network(images[:20].astype(np.float32), training=False))
    for command, suffix in (("onnx", ".onnx"), ("tflite", ".tflite")):
        target = tmp_path / f"x{suffix}"
        outcome = run_command(command, "--model", tmp_path / "mobilenet.keras", "-o", target)
        assert outcome.exit_code == 0, outcome.stderr
        with open_runner(target) as runner:
            np.testing.assert_allclose(runner.probabilities(images[:20]), expected, atol=1e-4)


def test_large_kernels_keep_their_values(network: Any, artifacts: Artifacts) -> None:
    kernels = {
        layer.kernel.shape[2]: np.asarray(layer.kernel)
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    stored = [numpy_helper.to_array(t) for t in onnx.load(artifacts.onnx).graph.initializer]
    # The others are merged with the batch normalisation that follows them.
    wanted = kernels[48]
    assert wanted.nbytes > 64 * 1024
    assert any(_holds(values, wanted) for values in stored)


def _holds(values: np.ndarray, kernel: np.ndarray) -> bool:
    """Whether a tensor is a kernel, in its own layout or ONNX's, up to a factor a channel."""
    if values.size != kernel.size or values.ndim != 4:
        return False
    if values.shape != kernel.shape:
        values = values.transpose(2, 3, 1, 0)
    ratios = values / kernel
    return bool(np.allclose(ratios, ratios[0, 0, 0], rtol=1e-4))


def with_softmax(network: Any) -> Iterator[Any]:
    """The network with its softmax inside, in the two usual ways."""
    image, logits = network.inputs[0], network.outputs[0]
    yield keras.Model(image, keras.layers.Softmax()(logits))
    yield keras.Model(image, keras.layers.Activation("softmax")(logits))


def test_a_softmax_inside_is_not_repeated(network: Any, images: np.ndarray, tmp_path: Path) -> None:
    expected = softmax(np.asarray(network(images[:16].astype(np.float32), training=False)))
    for index, model in enumerate(with_softmax(network)):
        source, target = tmp_path / f"{index}.keras", tmp_path / f"{index}.onnx"
        model.save(source)
        outcome = run_command("onnx", "--model", source, "-o", target)
        assert outcome.exit_code == 0, outcome.stderr
        operators = [node.op_type for node in onnx.load(target).graph.node]
        assert operators.count("Softmax") == 1
        with open_runner(target) as runner:
            np.testing.assert_allclose(runner.run(images[:16]), expected, atol=1e-4)


def test_logits_of_a_model_that_hides_them_are_refused(network: Any, tmp_path: Path) -> None:
    source = tmp_path / "softmax.keras"
    next(with_softmax(network)).save(source)
    outcome = run_command(
        "onnx", "--model", source, "--answer", "logits", "-o", tmp_path / "x.onnx"
    )
    assert outcome.exit_code == 2
    assert "softmax" in outcome.error
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize("scheme", ["int8", "dynamic-int8"])
def test_a_model_without_weights_cannot_be_quantized(tmp_path: Path, scheme: str) -> None:
    image = keras.Input((32, 32, 3))
    scaled = keras.layers.Rescaling(1 / 25)(image)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(scaled))
    model.save(tmp_path / "mean.keras")
    outcome = run_command(
        "tflite",
        *("--model", tmp_path / "mean.keras", "--scheme", scheme),
        *("-o", tmp_path / "x.tflite"),
    )
    assert outcome.exit_code == 3
    assert "no layer that can be quantized" in outcome.error
    assert not (tmp_path / "x.tflite").exists()
