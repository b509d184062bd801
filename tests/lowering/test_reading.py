"""Which Keras models are read, and that others are left alone."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from tests.support.float64_program import evaluate
from tests.support.keras_models import convolutional_network, loaded
from tests.support.lowered_graphs import KINDS, pixels, relative_error
from tests.support.small_models import build_small, random_pixels
from vitsd_export.lowering.inference_graph import InferenceGraph
from vitsd_export.lowering.reading import OtherArchitecture, read_graph
from vitsd_export.model.layers import LocalitySelfAttention, PositionEmbedding


@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_answers_as_its_keras_model(kind: str) -> None:
    model = build_small(**KINDS[kind])
    graph = read_graph(model)
    images = pixels(graph)
    expected = np.asarray(model(images, training=False))
    assert relative_error(evaluate(graph, images), expected) <= 1e-5


def test_dropout_is_gone() -> None:
    rates = {"attention_dropout": 0.3, "mlp_dropout": 0.2, "head_dropout": 0.5}
    model = build_small(**rates, head_units=(5,))
    graph = read_graph(model)
    images = pixels(graph)
    expected = np.asarray(model(images, training=False))
    assert relative_error(evaluate(graph, images), expected) <= 1e-5


def test_augmentation_inside_is_gone() -> None:
    model = build_small()
    image = keras.Input((8, 8, 3))
    x = keras.layers.RandomFlip("horizontal")(image)
    x = keras.layers.RandomRotation(0.02)(x)
    for layer in model.layers[1:]:
        x = rebuilt(layer, x)
        if isinstance(layer, PositionEmbedding):
            break
    with pytest.raises(OtherArchitecture, match="LayerNormalization was expected"):
        # So far it was read; what follows is missing.
        read_graph(keras.Model(image, x))


def rebuilt(layer: Any, x: Any) -> Any:
    """The answer of a new layer of the same kind."""
    return type(layer).from_config(layer.get_config())(x)


def test_a_softmax_at_the_end_is_read() -> None:
    model = build_small()
    for ending in (keras.layers.Softmax(), keras.layers.Activation("softmax")):
        whole = keras.Model(model.inputs[0], ending(model.outputs[0]))
        graph = read_graph(whole)
        assert graph.softmax
        images = pixels(graph)
        expected = np.asarray(whole(images, training=False))
        assert relative_error(evaluate(graph, images), expected) <= 1e-5


def test_large_kernels_stay_in_float32_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitsd_export.lowering.reading._LARGE", 100)
    model = build_small(head="flatten", head_units=(7,))
    for all_float64, dtype in ((False, np.float32), (True, np.float64)):
        head = read_graph(model, all_float64=all_float64).head
        assert head is not None
        assert head.hidden[0].kernel.dtype == dtype
        assert head.logits.kernel.dtype == np.float64


def with_residual_from_elsewhere() -> Any:
    """A block whose second branch is added to what came before the first."""
    image = keras.Input((8, 8, 3))
    model = build_small()
    x = image
    for name in ("normalization", "tokenizer", "positions"):
        x = rebuilt(model.get_layer(name), x)
    h = keras.layers.LayerNormalization(epsilon=1e-6)(x)
    y = keras.layers.Add()([LocalitySelfAttention(2, 6)(h), x])
    h = keras.layers.LayerNormalization(epsilon=1e-6)(y)
    h = keras.layers.Dense(8, activation="gelu")(h)
    z = keras.layers.Add()([h, x])
    z = keras.layers.LayerNormalization(epsilon=1e-6)(z)
    z = keras.layers.GlobalAveragePooling1D()(z)
    return keras.Model(image, keras.layers.Dense(3)(z))


def with_another_activation() -> Any:
    """A head with ReLU."""
    model = build_small(head_units=(5,))
    model.get_layer("head_dense0").activation = keras.activations.relu
    return model


def with_approximate_gelu() -> Any:
    """An MLP with the tanh approximation of GELU."""
    model = build_small()
    model.get_layer("block0_mlp_dense0").activation = lambda x: keras.activations.gelu(x, True)
    model.get_layer("block0_mlp_dense0").activation.__name__ = "gelu_tanh"
    return model


def with_half_precision() -> Any:
    """A model that computes in float16."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return build_small()
    finally:
        keras.config.set_dtype_policy("float32")


OTHERS: dict[str, tuple[Callable[[], Any], str]] = {
    "a convolutional network": (convolutional_network, "expected"),
    "a residual from elsewhere": (with_residual_from_elsewhere, "residual"),
    "another activation": (with_another_activation, "head_dense0 has another activation"),
    "approximate GELU": (with_approximate_gelu, "another activation"),
    "half precision": (with_half_precision, "computes in float16"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_architecture_is_told_and_exported_as_it_is(name: str) -> None:
    build, words = OTHERS[name]
    model = build()
    with pytest.raises(OtherArchitecture, match=words):
        read_graph(model)
    graph = InferenceGraph(loaded(model), answers_probabilities=False, output="logits")
    assert graph.lowered is None
    assert words in str(graph.not_lowered_because)
    size = model.inputs[0].shape[1]
    images = random_pixels(2, size).astype(np.uint8)
    (answers,) = graph.concrete_function(None)(images).values()
    expected = np.asarray(model(images.astype(np.float32), training=False))
    np.testing.assert_allclose(answers, expected, rtol=1e-3, atol=1e-4)


def test_skipped_branches_are_training_only() -> None:
    from tests.support.small_models import set_random_weights, small_config
    from vitsd_export.model.classifier import build_classifier

    model = build_classifier(small_config(depth=2), drop_path=0.4)
    set_random_weights(model)
    graph = read_graph(model)
    images = pixels(graph)
    expected = np.asarray(model(images, training=False))
    assert relative_error(evaluate(graph, images), expected) <= 1e-5
