"""Files of integers alone, from a Keras model on."""

from typing import Any

import keras
import numpy as np
import pytest

from tests.support import float64_program as float64
from tests.support.keras_models import convolutional_network, loaded, small_transformer
from tests.support.litert_runs import interpreter, run_images
from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.artifact.integer_only import float_tensors
from vitsd_export.data.sample import load_sample
from vitsd_export.errors import InputError, UsageError
from vitsd_export.lowering.inference_graph import InferenceGraph
from vitsd_export.quantization.integer_only.full_int8 import integer_graph, write_full_int8

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "resized, flattened, heads as wide as tokens": {
        "image_size": 36,
        "patch_size": 6,
        "num_heads": 3,
        "key_dim": 16,
        "depth": 2,
        "head": "flatten",
        "head_units": (24,),
    },
}


@pytest.fixture(scope="module")
def calibration() -> np.ndarray:
    return load_sample("calibration").images[:96]


@pytest.fixture(scope="module", params=VARIANTS, ids=list(VARIANTS))
def logits_of(request: pytest.FixtureRequest) -> InferenceGraph:
    """A small transformer that answers logits, which show more than probabilities near 0 and 1."""
    model = small_transformer(**VARIANTS[request.param])
    return InferenceGraph(loaded(model), answers_probabilities=False, output="logits")


@pytest.fixture(scope="module")
def content(logits_of: InferenceGraph, calibration: np.ndarray) -> bytes:
    return write_full_int8(logits_of, calibration)


def ratio(found: np.ndarray, exact: np.ndarray) -> float:
    """Signal-to-noise ratio in decibels, over what tells the images apart."""
    signal = np.square(exact - exact.mean(axis=0)).sum()
    return float(10 * np.log10(signal / np.square(found - exact).sum()))


def test_it_answers_as_the_model_does_in_float64(
    logits_of: InferenceGraph, content: bytes, images: np.ndarray
) -> None:
    graph = integer_graph(logits_of)
    assert graph is not None
    exact = float64.evaluate(graph, images[:60])
    assert ratio(run_images(content, images[:60]), exact) > 20


def test_the_delegate_answers_as_the_plain_operators(content: bytes, images: np.ndarray) -> None:
    plain, delegated = (run_images(content, images[:8], delegate=on) for on in (False, True))
    assert ratio(delegated, plain) > 28


def test_there_are_only_integers_in_it(content: bytes) -> None:
    assert float_tensors(content) == ()
    runtime = interpreter(content)
    types = {np.dtype(entry["dtype"]).name for entry in runtime.get_tensor_details()}
    assert types <= {"int8", "uint8", "int16", "int32", "int64"}
    image, answer = runtime.get_input_details()[0], runtime.get_output_details()[0]
    assert (image["dtype"], image["quantization"]) == (np.uint8, (1.0, 0))
    assert answer["dtype"] == np.uint8


def test_images_unlike_any_other_overflow_nothing(
    logits_of: InferenceGraph, content: bytes
) -> None:
    rng = np.random.default_rng(0)
    checkers = np.indices((32, 32)).sum(axis=0)[..., None] % 2 * np.full(3, 255)
    grey = np.full((32, 32, 3), 128)
    one_dot = grey.copy()
    one_dot[9, 20] = 129
    strange = np.stack(
        [grey * 0, grey, grey * 0 + 255, checkers, one_dot, rng.integers(0, 256, (32, 32, 3))]
    ).astype(np.uint8)
    graph = integer_graph(logits_of)
    assert graph is not None
    exact = float64.evaluate(graph, strange)
    found = run_images(content, strange)
    # Where something overflowed, answers would have nothing to do with the model's.
    assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.9


def test_several_images_in_a_call(
    logits_of: InferenceGraph, content: bytes, calibration: np.ndarray, images: np.ndarray
) -> None:
    several = write_full_int8(logits_of, calibration, batch=3)
    np.testing.assert_array_equal(
        run_images(several, images[:6], delegate=False),
        run_images(content, images[:6], delegate=False),
    )


def test_probabilities_are_in_steps_of_a_256th(calibration: np.ndarray, images: np.ndarray) -> None:
    graph = InferenceGraph(loaded(small_transformer()), answers_probabilities=False)
    content = write_full_int8(graph, calibration)
    answer = interpreter(content).get_output_details()[0]
    assert answer["quantization"] == (1 / 256, 0)
    np.testing.assert_allclose(run_images(content, images[:20]).sum(axis=1), 1, atol=0.03)


def test_floats_are_refused_at_the_door(calibration: np.ndarray) -> None:
    graph = InferenceGraph(
        loaded(small_transformer()), answers_probabilities=False, input_type="float32"
    )
    with pytest.raises(UsageError, match="uint8"):
        write_full_int8(graph, calibration)


@pytest.mark.parametrize("name", ["layer-norm-affine", "head-norm-affine", "temperature"])
def test_a_rewrite_that_is_needed_is_named(name: str, calibration: np.ndarray) -> None:
    model = small_transformer()
    for weight in model.weights:
        # An untrained γ is 1, and then there is nothing to fold.
        weight.assign(np.asarray(weight) + 0.1)
    graph = InferenceGraph(loaded(model), answers_probabilities=False, without=[name])
    with pytest.raises(UsageError, match=name):
        write_full_int8(graph, calibration)


def test_weights_that_are_not_finite_are_refused(calibration: np.ndarray) -> None:
    model = small_transformer()
    kernel, *rest = model.get_layer("logits").get_weights()
    kernel[0, 0] = np.nan
    model.get_layer("logits").set_weights([kernel, *rest])
    graph = InferenceGraph(loaded(model), answers_probabilities=False)
    with pytest.raises(InputError, match="not finite"):
        write_full_int8(graph, calibration)


def test_a_convolutional_network_becomes_integers_too(
    calibration: np.ndarray, images: np.ndarray
) -> None:
    model = convolutional_network()
    graph = InferenceGraph(loaded(model), answers_probabilities=False)
    with quiet_converters():
        content = write_full_int8(graph, calibration)
    assert float_tensors(content) == ()
    image = interpreter(content).get_input_details()[0]
    assert (image["dtype"], image["quantization"]) == (np.uint8, (1.0, 0))
    wanted = np.asarray(keras.ops.softmax(model(images[:100].astype(np.float32), training=False)))
    found = run_images(content, images[:100])
    assert (found.argmax(axis=1) == wanted.argmax(axis=1)).mean() >= 0.97
    assert np.abs(found - wanted).max() < 0.1


def test_an_operation_without_integers_is_refused(calibration: np.ndarray) -> None:
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, strides=4)(image)
    # LiteRT has sine in floats alone.
    x = keras.layers.Lambda(keras.ops.sin)(x)
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    graph = InferenceGraph(loaded(model), answers_probabilities=False)
    with quiet_converters(), pytest.raises(InputError, match="full-int8"):
        write_full_int8(graph, calibration)
