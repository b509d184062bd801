"""The contract of the artifacts: names, types, shapes and answers, seen through the runtimes."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.support.command_line import Artifacts
from tests.support.keras_models import keras_probabilities, tiny_file
from vitsd_export.artifact.inspection import inspect_artifact


@pytest.fixture(scope="module")
def expected(images: np.ndarray) -> np.ndarray:
    """What Keras says of the first 64 images."""
    return keras_probabilities(tiny_file(), images[:64])


@pytest.fixture(scope="module")
def session(exported: Artifacts) -> Any:
    """The ONNX file in ONNX Runtime."""
    return onnxruntime.InferenceSession(str(exported.onnx), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def onnx_file(exported: Artifacts) -> Any:
    """The ONNX file as a protocol buffer."""
    return onnx.load(exported.onnx, load_external_data=False)


def litert(path: Path) -> Any:
    """A file in LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_path=str(path))


def litert_answers(path: Path, images: np.ndarray) -> np.ndarray:
    """Answers by the signature that apps call."""
    runner = litert(path).get_signature_runner("serving_default")
    return np.concatenate([runner(image=image[None])["probabilities"] for image in images])


def test_onnx_takes_images_and_gives_probabilities(session: Any) -> None:
    (image,), (answer,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["batch", 32, 32, 3])
    assert (answer.name, answer.type, answer.shape) == (
        "probabilities",
        "tensor(float)",
        ["batch", 10],
    )


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_onnx_answers_batches_of_any_size_as_keras_does(
    session: Any, images: np.ndarray, expected: np.ndarray, batch: int
) -> None:
    (answers,) = session.run(None, {"image": images[:batch]})
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers, expected[:batch], atol=1e-4)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


def test_onnx_is_readable_by_runtimes_of_two_years_ago(onnx_file: Any) -> None:
    assert [(opset.domain, opset.version) for opset in onnx_file.opset_import] == [("", 21)]
    assert onnx_file.ir_version <= 10


def test_onnx_is_valid_and_self_contained(onnx_file: Any) -> None:
    onnx.checker.check_model(onnx_file, full_check=True)
    assert {node.domain for node in onnx_file.graph.node} <= {"", "ai.onnx"}
    assert not onnx_file.functions
    locations = {tensor.data_location for tensor in onnx_file.graph.initializer}
    assert locations == {onnx.TensorProto.DEFAULT}


def test_onnx_has_no_leftovers_of_training(onnx_file: Any) -> None:
    operators = {node.op_type for node in onnx_file.graph.node}
    assert operators & {"Dropout", "RandomUniform", "RandomUniformLike", "RandomNormal"} == set()


@pytest.mark.parametrize("kind", ["tflite", "int8"])
def test_litert_takes_an_image_and_gives_probabilities(exported: Artifacts, kind: str) -> None:
    interpreter = litert(getattr(exported, kind))
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}
    }
    (image,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (image["dtype"], image["shape_signature"].tolist()) == (np.uint8, [1, 32, 32, 3])
    assert (answer["dtype"], answer["shape_signature"].tolist()) == (np.float32, [1, 10])


def test_litert_answers_as_keras_does(
    exported: Artifacts, images: np.ndarray, expected: np.ndarray
) -> None:
    answers = litert_answers(exported.tflite, images[:64])
    np.testing.assert_allclose(answers, expected, atol=1e-4)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


def test_litert_in_int8_answers_nearly_as_keras_does(
    exported: Artifacts, images: np.ndarray, expected: np.ndarray
) -> None:
    answers = litert_answers(exported.int8, images[:64])
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert np.abs(answers - expected).mean() < 0.01


@pytest.mark.parametrize("kind", ["tflite", "int8"])
def test_litert_needs_built_in_operators_alone(exported: Artifacts, kind: str) -> None:
    info = inspect_artifact(getattr(exported, kind))
    assert info.graph.custom_ops == ()
    assert not [name for name in info.graph.ops if name.startswith(("Flex", "CUSTOM", "BUILTIN_"))]


def test_saved_model_serves_images_of_any_number(
    exported: Artifacts, images: np.ndarray, expected: np.ndarray
) -> None:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(exported.saved_model))
    assert list(loaded.signatures) == ["serving_default"]
    serve = loaded.signatures["serving_default"]
    _, (arguments) = serve.structured_input_signature
    assert list(arguments) == ["image"]
    assert (arguments["image"].dtype, arguments["image"].shape.as_list()) == (
        tf.uint8,
        [None, 32, 32, 3],
    )
    for batch in (1, 3, 64):
        answers = serve(image=tf.constant(images[:batch]))
        assert list(answers) == ["probabilities"]
        assert answers["probabilities"].dtype == tf.float32
        np.testing.assert_allclose(answers["probabilities"].numpy(), expected[:batch], atol=1e-4)
