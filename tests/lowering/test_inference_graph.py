"""The function that is exported."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.keras_models import loaded, small_transformer, softmax
from vitsd_export.errors import UsageError
from vitsd_export.exporters.onnx_from_tensorflow import frozen_function
from vitsd_export.lowering.inference_graph import InferenceGraph


@pytest.fixture(scope="module")
def model() -> Any:
    """A small transformer, which answers logits."""
    return small_transformer()


@pytest.fixture(scope="module")
def logits(model: Any, images: np.ndarray) -> np.ndarray:
    """Its answers to three images."""
    return np.asarray(model(images[:3].astype(np.float32), training=False))


def call(graph: InferenceGraph, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Runs the function."""
    answers = graph.concrete_function(None)(tf.constant(pixels))
    return {name: tensor.numpy() for name, tensor in answers.items()}


def test_probabilities_of_bytes(model: Any, logits: np.ndarray, images: np.ndarray) -> None:
    graph = InferenceGraph(loaded(model), answers_probabilities=False)
    answers = call(graph, images[:3])
    assert list(answers) == ["probabilities"]
    assert answers["probabilities"].dtype == np.float32
    np.testing.assert_allclose(answers["probabilities"], softmax(logits), atol=1e-6)


def test_logits_of_floats(model: Any, logits: np.ndarray, images: np.ndarray) -> None:
    graph = InferenceGraph(
        loaded(model), answers_probabilities=False, input_type="float32", output="logits"
    )
    answers = call(graph, images[:3].astype(np.float32))
    assert list(answers) == ["logits"]
    np.testing.assert_allclose(answers["logits"], logits, atol=1e-5)


def test_a_softmax_inside_is_left_alone(model: Any, logits: np.ndarray, images: np.ndarray) -> None:
    ready = keras.Model(model.inputs[0], keras.layers.Softmax()(model.outputs[0]))
    graph = InferenceGraph(loaded(ready), answers_probabilities=True)
    answers = call(graph, images[:3])["probabilities"]
    np.testing.assert_allclose(answers, softmax(logits), atol=1e-6)


def test_logits_behind_a_softmax_are_not_to_be_had(model: Any) -> None:
    with pytest.raises(UsageError, match="softmax"):
        InferenceGraph(loaded(model), answers_probabilities=True, output="logits")


@pytest.mark.parametrize("batch", [None, 1, 5])
def test_shapes_and_names(model: Any, batch: int | None) -> None:
    function = InferenceGraph(loaded(model), answers_probabilities=False).concrete_function(batch)
    (image,) = function.structured_input_signature[0]
    assert (image.name, image.dtype, image.shape.as_list()) == (
        "image",
        tf.uint8,
        [batch, 32, 32, 3],
    )
    assert function.structured_outputs["probabilities"].shape.as_list() == [batch, 10]


def test_dropout_and_batch_statistics_are_those_of_inference(images: np.ndarray) -> None:
    image = keras.Input((32, 32, 3))
    x = keras.layers.BatchNormalization()(keras.layers.GlobalAveragePooling2D()(image))
    trained = keras.Model(image, keras.layers.Dense(10)(keras.layers.Dropout(0.9)(x)))
    graph = InferenceGraph(loaded(trained), answers_probabilities=False, output="logits")
    first, second = (call(graph, images[:4])["logits"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    expected = trained(images[:4].astype(np.float32), training=False)
    np.testing.assert_allclose(first, expected, rtol=1e-5, atol=1e-4)


def test_freezing_leaves_the_image_as_the_one_input(
    model: Any, logits: np.ndarray, images: np.ndarray
) -> None:
    graph = InferenceGraph(loaded(model), answers_probabilities=False)
    frozen = frozen_function(graph, None)
    assert [tensor.name for tensor in frozen.inputs] == ["image:0"]
    operators = {node.op for node in frozen.graph.as_graph_def().node}
    assert not operators & {"VarHandleOp", "ReadVariableOp", "PartitionedCall"}
    (answers,) = frozen(tf.constant(images[:3]))
    np.testing.assert_allclose(answers, softmax(logits), atol=1e-6)
