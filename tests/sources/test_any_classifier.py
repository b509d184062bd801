"""Keras models of any make, from the file to a verified artifact."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.support.any_classifiers import functional, head
from tests.support.command_line import Outcome, run_command
from tests.support.keras_models import TINY_MODEL, softmax
from vitsd_export.data.sample import load_sample
from vitsd_export.errors import InputError
from vitsd_export.runtimes import open_runner
from vitsd_export.sources.checkpoint import load_model

OWN_LAYERS = Path(__file__).parents[1] / "support" / "own_layers.py"
RANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "0-255": lambda pixels: pixels,
    "0-1": lambda pixels: pixels / 255,
    "-1-1": lambda pixels: pixels / 127.5 - 1,
}


def export(command: str, model: Path, target: Path, *options: object) -> Outcome:
    outcome = run_command(command, "--model", model, "-o", target, "--json", *options)
    assert outcome.exit_code == 0, outcome.stderr
    assert json.loads(outcome.stdout)["artifacts"][0]["verification"]["passed"]
    return outcome


def resized(images: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(keras.ops.image.resize(images.astype(np.float32), (size, size)))


def with_different_answers(network: Any, input_range: str) -> Any:
    """Gives an untrained network statistics, and scores that differ from image to image."""
    images = load_sample("calibration").images[:128]
    pixels = RANGES[input_range](resized(images, network.input_shape[1]))
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(pixels, training=True)
    activation = network.layers[-1].activation
    network.layers[-1].activation = keras.activations.linear
    scores = np.array(network(pixels, training=False))
    network.layers[-1].activation = activation
    scores -= scores.mean(axis=1, keepdims=True)
    centre, spread = scores.mean(axis=0), (scores - scores.mean(axis=0)).std()
    last = [layer for layer in network.layers if layer.weights][-1]
    kernel, _ = last.get_weights()
    # Deep networks without training magnify rounding, in every runtime; hence a quarter.
    last.set_weights([kernel / spread / 4, -centre / spread / 4])
    return network


# Five architectures of others; MobileNetV2 is in tests/e2e/test_foreign_models.py.


def mobilenet_v3() -> Any:
    return keras.applications.MobileNetV3Small(
        input_shape=(48, 48, 3), minimalistic=True, weights=None, classes=20
    )


def efficientnet() -> Any:
    return keras.applications.EfficientNetB0(input_shape=(64, 64, 3), weights=None, classes=10)


def resnet() -> Any:
    return keras.applications.ResNet50V2(
        input_shape=(64, 64, 3), weights=None, classes=1000, classifier_activation=None
    )


def densenet() -> Any:
    return keras.applications.DenseNet121(input_shape=(32, 32, 3), weights=None, classes=10)


def convnext() -> Any:
    return keras.applications.ConvNeXtTiny(input_shape=(32, 32, 3), weights=None, classes=10)


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("make", "input_range", "command"),
    [
        (mobilenet_v3, "0-255", "onnx"),
        (mobilenet_v3, "0-255", "tflite"),
        pytest.param(efficientnet, "0-255", "onnx", marks=slow),
        pytest.param(resnet, "-1-1", "onnx", marks=slow),
        pytest.param(densenet, "0-1", "tflite", marks=slow),
        pytest.param(convnext, "0-255", "onnx", marks=slow),
    ],
)
def test_an_architecture_of_keras_applications(
    make: Any, input_range: str, command: str, images: np.ndarray, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(5)
    network = with_different_answers(make(), input_range)
    network.save(tmp_path / "network.keras")
    target = tmp_path / ("x.onnx" if command == "onnx" else "x.tflite")
    options = [] if input_range == "0-255" else ["--input-range", input_range]
    export(command, tmp_path / "network.keras", target, *options)
    size = network.input_shape[1]
    pixels = np.round(resized(images[:24], size)).astype(np.uint8)
    answers = np.asarray(network(RANGES[input_range](pixels.astype(np.float32)), training=False))
    expected = answers if np.allclose(answers.sum(axis=1), 1, atol=1e-3) else softmax(answers)
    with open_runner(target) as runner:
        assert (runner.image_size, runner.num_classes) == (size, network.output_shape[1])
        np.testing.assert_allclose(runner.run(pixels), expected, atol=1e-4)
    assert len(np.unique(expected.argmax(axis=1))) > 4


# Ways to write a model.


def sequential() -> Any:
    keras.utils.set_random_seed(2)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((20, 20, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 5),
            layers.Flatten(),
            layers.Dense(7),
        ]
    )


def grouped() -> Any:
    keras.utils.set_random_seed(2)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(24, 3, strides=2)(keras.layers.Rescaling(1 / 64)(image))
    alone = keras.layers.Conv2D(24, 5, padding="same", groups=24)(x)
    x = keras.layers.Conv2D(12, 3, groups=4, activation="gelu")(keras.layers.Add()([x, alone]))
    return keras.Model(image, head(x))


@pytest.mark.parametrize("make", [sequential, grouped])
@pytest.mark.parametrize(("command", "name"), [("onnx", "x.onnx"), ("tflite", "x.tflite")])
def test_ways_to_write_a_model(make: Any, command: str, name: str, tmp_path: Path) -> None:
    model = make()
    model.save(tmp_path / "model.keras")
    export(command, tmp_path / "model.keras", tmp_path / name)
    pixels = np.random.default_rng(0).integers(0, 256, (5, *model.input_shape[1:]), np.uint8)
    with open_runner(tmp_path / name) as runner:
        expected = softmax(np.asarray(model(pixels.astype(np.float32), training=False)))
        np.testing.assert_allclose(runner.run(pixels), expected, atol=1e-5)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The user's module, and a program that has never heard of it when the test is over."""
    from vitsd_export.sources.custom_objects import load_custom_objects

    def forget() -> None:
        for name in ("own_layers", "theirs"):
            sys.modules.pop(name, None)
        for name in [n for n in keras.saving.get_custom_objects() if n.startswith("users>")]:
            del keras.saving.get_custom_objects()[name]

    forget()
    load_custom_objects(f"theirs:{OWN_LAYERS}")
    yield sys.modules["theirs"]
    forget()


def forgotten(model: Any, path: Path) -> Path:
    """Saves a model and forgets the user's classes."""
    model.save(path)
    del sys.modules["theirs"]
    for name in [n for n in keras.saving.get_custom_objects() if n.startswith("users>")]:
        del keras.saving.get_custom_objects()[name]
    return path


@pytest.mark.parametrize("option", [f"theirs:{OWN_LAYERS}", f"own_layers:{OWN_LAYERS}"])
def test_a_layer_of_the_user_s_own(own: Any, option: str, tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    x = own.Halve()(own.Sharpen(0.25)(keras.layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, head(keras.layers.Conv2D(4, 3, activation=own.soft_step)(x)))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    expected = softmax(np.asarray(model(pixels.astype(np.float32))))
    path = forgotten(model, tmp_path / "own.keras")
    refused = run_command("onnx", "--model", path, "-o", tmp_path / "x.onnx")
    assert refused.exit_code == 3
    assert "--custom-objects module:file" in refused.error
    export("onnx", path, tmp_path / "x.onnx", "--custom-objects", option)
    with open_runner(tmp_path / "x.onnx") as runner:
        np.testing.assert_allclose(runner.run(pixels), expected, atol=1e-5)
        assert runner.manifest is not None
        assert runner.manifest.source["custom_objects"] == option


def test_a_subclassed_model(own: Any, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = own.Subclassed()
    pixels = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), np.uint8)
    expected = softmax(np.asarray(model(pixels.astype(np.float32))))
    path = forgotten(model, tmp_path / "subclassed.keras")
    for command, name in (("onnx", "x.onnx"), ("tflite", "x.tflite")):
        target = tmp_path / name
        export(command, path, target, "--custom-objects", OWN_LAYERS)
        with open_runner(target) as runner:
            np.testing.assert_allclose(runner.run(pixels), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("content", "kind", "word"),
    [
        (None, InputError, "does not exist"),
        ("import nothing_of_this_name", InputError, "ModuleNotFoundError"),
        ("def broken(:", InputError, "SyntaxError"),
        ("x = undefined", InputError, "NameError"),
        ("1 / 0", InputError, "ZeroDivisionError"),
    ],
)
def test_a_file_of_layers_that_fails_is_told(
    content: str | None, kind: Any, word: str, small_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "broken_layers.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(kind, match=word):
        load_model(small_model, custom_objects=str(path))
    assert "broken_layers" not in sys.modules


@pytest.mark.parametrize("text", [":", "a b:x.py", "layers", f"json:{OWN_LAYERS}", "x:y.txt"])
def test_an_option_that_names_no_file_is_a_wrong_usage(text: str, small_model: Path) -> None:
    outcome = run_command("onnx", "--model", small_model, "--custom-objects", text)
    assert outcome.exit_code == 2


# Ranges, classes, softmax.


@pytest.mark.parametrize("input_range", ["0-1", "-1-1"])
def test_a_model_gets_the_values_it_was_trained_on(input_range: Any, tmp_path: Path) -> None:
    model = functional()
    model.save(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    values = RANGES[input_range](pixels.astype(np.float32))
    export("onnx", tmp_path / "model.keras", tmp_path / "x.onnx", "--input-range", input_range)
    with open_runner(tmp_path / "x.onnx") as runner:
        np.testing.assert_allclose(
            runner.run(pixels), softmax(np.asarray(model(values))), atol=1e-5
        )
        assert runner.manifest is not None
        assert runner.manifest.source["input_range"] == input_range


def test_pixels_that_are_scaled_nowhere_or_twice_are_told(
    small_model: Path, tmp_path: Path
) -> None:
    functional().save(tmp_path / "model.keras")
    assert "no layer that scales pixels" in load_model(tmp_path / "model.keras").notes[0]
    for chosen in ("0-255", "0-1"):
        assert load_model(tmp_path / "model.keras", input_range=chosen).notes == ()  # type: ignore[arg-type]
    assert load_model(small_model).notes == ()
    assert load_model(small_model, input_range="0-255").notes == ()
    assert "scaled twice" in load_model(small_model, input_range="0-1").notes[0]
    assert load_model(TINY_MODEL).notes == ()


def test_a_range_that_is_unknown_is_a_wrong_usage(small_model: Path) -> None:
    outcome = run_command("onnx", "--model", small_model, "--input-range", "0-2")
    assert outcome.exit_code == 2


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_score_becomes_two_classes(activation: str | None, tmp_path: Path) -> None:
    model = functional(classes=1, activation=activation)
    model.save(tmp_path / "one.keras")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    outcome = export(
        *("onnx", tmp_path / "one.keras", tmp_path / "x.onnx"),
        *("--labels", tmp_path / "labels.txt", "--input-range", "0-1"),
    )
    assert "two classes" in outcome.stderr
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    score = np.asarray(model(pixels.astype(np.float32) / 255))[:, 0].astype(np.float64)
    second = score if activation else 1 / (1 + np.exp(-score))
    with open_runner(tmp_path / "x.onnx") as runner:
        expected = np.stack([1 - second, second], axis=1)
        np.testing.assert_allclose(runner.run(pixels), expected, atol=1e-5)
        assert runner.labels == ("cat", "dog")


def test_a_score_that_looks_like_a_probability_on_images_is_told_apart(tmp_path: Path) -> None:
    model = functional(classes=1)
    kernel, _ = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 1e-4, np.array([0.5])])
    model.save(tmp_path / "one.keras")
    pixels = np.zeros((1, 16, 16, 3), np.float32)
    np.testing.assert_allclose(load_model(tmp_path / "one.keras").model(pixels), [[0.0, 0.5]])


@pytest.mark.parametrize("classes", [2, 4096])
def test_few_and_many_classes(classes: int, tmp_path: Path) -> None:
    model = functional(classes=classes, activation="softmax")
    model.save(tmp_path / "many.keras")
    options = ("--input-range", "0-1", "--no-verify")
    outcome = run_command(
        *("onnx", "--model", tmp_path / "many.keras", "-o", tmp_path / "x.onnx", *options)
    )
    assert outcome.exit_code == 0, outcome.stderr
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    with open_runner(tmp_path / "x.onnx") as runner:
        answers = runner.run(pixels)
        assert runner.labels[-1] == f"class {classes - 1}"
    np.testing.assert_allclose(answers, model(pixels.astype(np.float32) / 255), atol=1e-6)


def test_coarse_labels_of_cifar_100(tmp_path: Path) -> None:
    functional(classes=20).save(tmp_path / "coarse.keras")
    command = ("onnx", "--model", tmp_path / "coarse.keras", "--input-range", "0-1")
    outcome = run_command(*command, "--labels", "coarse", "-o", tmp_path / "x.onnx")
    assert outcome.exit_code == 0, outcome.stderr
    with open_runner(tmp_path / "x.onnx") as runner:
        assert runner.labels[0] == "aquatic_mammals"
    refused = run_command(*command, "--labels", "fine", "-o", tmp_path / "y.onnx")
    assert refused.exit_code == 3
    assert "fine has 100 labels; the model has 20 classes" in refused.error


def test_trust_runs_a_lambda(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Lambda(lambda x: x * 2, output_shape=(8, 8, 3))(image)
    keras.Model(image, head(x)).save(tmp_path / "lambda.keras")
    command = ("onnx", "--model", tmp_path / "lambda.keras", "-o", tmp_path / "x.onnx")
    refused = run_command(*command)
    assert refused.exit_code == 3
    assert "all your rights" in refused.error
    assert run_command(*command, "--trust", "--input-range", "0-1").exit_code == 0
