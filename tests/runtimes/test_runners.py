"""Tests of running artifacts: their answers against NumPy in float64."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny_artifacts import (
    BIAS,
    CLASSES,
    IMAGES,
    LABELS,
    SIZE,
    WEIGHTS,
    reference_logits,
    reference_probabilities,
    write_onnx,
    write_saved_model,
    write_tflite,
)
from vitsd_export._internal.messages import first_line
from vitsd_export.data.labels import CIFAR10_CLASSES
from vitsd_export.errors import InputError, UsageError
from vitsd_export.runtimes import ImageRunner, open_runner
from vitsd_export.runtimes.base import softmax

FORMATS = ("tiny_onnx", "tiny_tflite", "tiny_saved_model")
RUNTIMES = {
    "tiny_onnx": "onnxruntime",
    "tiny_tflite": "ai-edge-litert",
    "tiny_saved_model": "tensorflow",
}


@pytest.mark.parametrize("fixture", FORMATS)
def test_runner_gives_the_networks_probabilities_for_any_number_of_images(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(fixture)
    expected = reference_probabilities(IMAGES)
    with open_runner(path, batch_size=3) as runner:
        for count in (0, 1, 3, 4, 7):
            answers = runner.run(IMAGES[:count])
            assert answers.shape == (count, CLASSES)
            assert answers.dtype == np.float32
            np.testing.assert_allclose(answers, expected[:count], atol=2e-6)
        np.testing.assert_array_equal(runner(IMAGES), runner.run(IMAGES))
        np.testing.assert_array_equal(runner.probabilities(IMAGES), runner.run(IMAGES))


@pytest.mark.parametrize("fixture", FORMATS)
def test_runner_describes_its_artifact(fixture: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(fixture)
    with open_runner(str(path), threads=1) as runner:
        assert isinstance(runner, ImageRunner)
        assert runner.path == path
        assert runner.name.split(" ")[0] == RUNTIMES[fixture]
        assert runner.name.split(" ")[1][0].isdigit()
        assert runner.labels == LABELS
        assert (runner.image_size, runner.num_classes) == (SIZE, CLASSES)
        assert runner.output_meaning == "probabilities"
        assert runner.manifest is not None
        assert runner.manifest.source["name"] == "tiny"
        assert runner.fixed_batch == (1 if fixture == "tiny_tflite" else None)


@pytest.mark.parametrize("fixture", FORMATS)
@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, SIZE, SIZE, 3), np.float32),
        np.zeros((1, SIZE + 1, SIZE + 1, 3), np.uint8),
        np.zeros((1, SIZE, SIZE, 1), np.uint8),
        np.zeros((SIZE, SIZE, 3), np.uint8),
    ],
    ids=["float", "size", "grey", "no-batch"],
)
def test_other_images_are_refused_with_what_is_expected(
    fixture: str, images: np.ndarray, request: pytest.FixtureRequest
) -> None:
    with (
        open_runner(request.getfixturevalue(fixture)) as runner,
        pytest.raises(InputError, match=r"uint8 array of shape \[N, 8, 8, 3\]"),
    ):
        runner.run(images)


@pytest.mark.parametrize("fixture", FORMATS)
def test_closed_runner_does_not_run(fixture: str, request: pytest.FixtureRequest) -> None:
    runner = open_runner(request.getfixturevalue(fixture))
    runner.close()
    runner.close()
    with pytest.raises(ValueError, match="closed"):
        runner.run(IMAGES)


def test_strided_images_are_run_as_they_look(tiny_tflite: Path, tiny_onnx: Path) -> None:
    mirrored = IMAGES[:2, :, ::-1]
    for path in (tiny_tflite, tiny_onnx):
        with open_runner(path) as runner:
            np.testing.assert_allclose(
                runner.run(mirrored), reference_probabilities(mirrored), atol=2e-6
            )


@pytest.mark.parametrize(("threads", "batch_size"), [(0, 1), (-1, 1), (1, 0)])
def test_impossible_options_are_refused(tiny_onnx: Path, threads: int, batch_size: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        open_runner(tiny_onnx, threads=threads, batch_size=batch_size)


# A full batch, a padded last one, and a single image that is padded.
@pytest.mark.parametrize("count", [4, 7, 1])
def test_fixed_batch_is_filled_up_and_cut(tmp_path: Path, count: int) -> None:
    paths = (
        write_onnx(tmp_path / "fixed.onnx", shape=(4, SIZE, SIZE, 3)),
        write_tflite(tmp_path / "fixed.tflite", batch=4),
    )
    for path in paths:
        with open_runner(path) as runner:
            assert runner.fixed_batch == 4
            np.testing.assert_allclose(
                runner.run(IMAGES[:count]), reference_probabilities(IMAGES[:count]), atol=2e-6
            )


def test_float_input_and_dynamic_litert_batch(tmp_path: Path) -> None:
    paths = (
        write_onnx(tmp_path / "float.onnx", dtype="float32"),
        write_tflite(tmp_path / "float.tflite", dtype="float32", batch=None),
    )
    for path in paths:
        with open_runner(path, batch_size=3) as runner:
            assert runner.fixed_batch is None
            np.testing.assert_allclose(
                runner.run(IMAGES), reference_probabilities(IMAGES), atol=2e-6
            )


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_quantized_ports_take_pixels_and_give_probabilities(tmp_path: Path, dtype: str) -> None:
    path = write_tflite(
        tmp_path / "quantized.tflite", dtype="float32", quantized_as=dtype, with_manifest=False
    )
    with open_runner(path) as runner:
        answers = runner.probabilities(IMAGES)
    assert answers.dtype == np.float32
    # The coarsest step is the 8-bit softmax's, 1/256; logits near 4 move it by a few of them.
    np.testing.assert_allclose(answers, reference_probabilities(IMAGES), atol=0.03)


def test_logits_become_probabilities(tmp_path: Path) -> None:
    paths = (
        write_onnx(tmp_path / "logits.onnx", softmax=False, output="logits"),
        # Nothing says what these are but the numbers themselves.
        write_onnx(tmp_path / "foreign.onnx", softmax=False, output="dense", with_manifest=False),
    )
    for path in paths:
        with open_runner(path) as runner:
            assert runner.output_meaning == "logits"
            np.testing.assert_allclose(runner.run(IMAGES), reference_logits(IMAGES), atol=2e-5)
            np.testing.assert_allclose(
                runner.probabilities(IMAGES), reference_probabilities(IMAGES), atol=2e-6
            )


@pytest.mark.parametrize("output", ["softmax_7", "probs", "Identity"])
def test_foreign_probabilities_are_recognised(tmp_path: Path, output: str) -> None:
    path = write_onnx(tmp_path / "foreign.onnx", output=output, with_manifest=False)
    with open_runner(path) as runner:
        assert runner.manifest is None
        assert runner.output_meaning == "probabilities"
        assert runner.labels == CIFAR10_CLASSES


def test_fixed_saved_model_batch(tmp_path: Path) -> None:
    path = write_saved_model(tmp_path / "fixed", shape=(2, SIZE, SIZE, 3), with_manifest=False)
    with open_runner(path) as runner:
        assert runner.manifest is None
        np.testing.assert_allclose(
            runner.run(IMAGES[:3]), reference_probabilities(IMAGES[:3]), atol=2e-6
        )


def test_runners_need_no_tensorflow_and_are_silent(tiny_onnx: Path, tiny_tflite: Path) -> None:
    program = (
        "import sys, numpy as np\n"
        "from vitsd_export.runtimes import open_runner\n"
        "assert not {'onnxruntime', 'ai_edge_litert'} & set(sys.modules)\n"
        "for path in sys.argv[1:]:\n"
        "    with open_runner(path) as runner:\n"
        "        runner.probabilities(np.zeros((1, 8, 8, 3), np.uint8))\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'torch', 'pyarrow', 'onnx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    command = [sys.executable, "-c", program, str(tiny_onnx), str(tiny_tflite)]
    root = Path(__file__).parents[2]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_keras_runner_runs_logits_and_probabilities() -> None:
    import keras

    from vitsd_export.runtimes.keras_runner import KerasRunner

    image = keras.Input((SIZE, SIZE, 3), name="image")
    row = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    dense = keras.layers.Dense(CLASSES, name="dense")
    model = keras.Model(image, dense(row))
    dense.set_weights([WEIGHTS, BIAS])
    with KerasRunner(model, batch_size=3, labels=LABELS) as runner:
        assert isinstance(runner, ImageRunner)
        assert runner.name.startswith("keras ")
        assert (runner.labels, runner.manifest, runner.path) == (LABELS, None, None)
        np.testing.assert_allclose(runner.run(IMAGES), reference_logits(IMAGES), atol=2e-5)
        np.testing.assert_allclose(
            runner.probabilities(IMAGES), reference_probabilities(IMAGES), atol=2e-6
        )
    ending_in_softmax = keras.Model(image, keras.layers.Softmax()(model.output))
    with KerasRunner(ending_in_softmax, output="probabilities") as runner:
        assert runner.labels == CIFAR10_CLASSES
        np.testing.assert_allclose(
            runner.probabilities(IMAGES), reference_probabilities(IMAGES), atol=2e-6
        )
    with pytest.raises(InputError, match="9 labels for a model of 10"):
        KerasRunner(model, labels=LABELS[:9])


def test_softmax_is_stable_and_keeps_nan() -> None:
    logits = np.array([[1000.0, 1000.0, -1000.0], [np.nan, 0, 0], [np.inf, 0, 0]], np.float32)
    answers = softmax(logits)
    np.testing.assert_array_equal(answers[0], np.array([0.5, 0.5, 0], np.float32))
    assert np.isnan(answers[1:, 0]).all()


def test_first_line_is_one_sentence() -> None:
    assert first_line(ValueError("it broke\n  at line 1")) == "it broke."
    assert first_line(ValueError("Why?")) == "Why?"
    assert first_line(KeyError()) == "KeyError."
    assert first_line(ValueError("long " * 100), limit=8) == "long lon…"
