"""The layers against the paper in NumPy."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import numpy_reference
from tests.support.small_models import random_pixels
from vitsd_export.model.layers import (
    BilinearResize,
    LocalitySelfAttention,
    PositionEmbedding,
    ShiftedPatchTokenizer,
)


def randomize(layer: keras.layers.Layer, seed: int) -> dict[str, np.ndarray]:
    """Gives a built layer random weights; returns them in float64 by their path in the layer."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape).astype(np.float32))
        if weight.name == "kernel":
            weight.assign(rng.normal(0, weight.shape[0] ** -0.5, weight.shape).astype(np.float32))
    return {
        weight.path.split("/", 1)[1]: keras.ops.convert_to_numpy(weight).astype(np.float64)
        for weight in layer.weights
    }


def answer(layer: keras.layers.Layer, x: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer(x))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    half_patch=st.integers(1, 3),
    grid=st.integers(1, 3),
    channels=st.integers(1, 4),
    dim=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_tokenizer_equals_the_papers(
    half_patch: int, grid: int, channels: int, dim: int, seed: int
) -> None:
    patch = 2 * half_patch
    layer = ShiftedPatchTokenizer(patch, dim, epsilon=1e-6, name="tokenizer")
    layer.build((None, grid * patch, grid * patch, channels))
    weights = randomize(layer, seed)
    images = np.random.default_rng(seed).normal(size=(2, grid * patch, grid * patch, channels))
    expected = numpy_reference.tokenize(images, weights, patch, 1e-6)
    np.testing.assert_allclose(answer(layer, images.astype(np.float32)), expected, atol=1e-4)
    assert layer.compute_output_shape((None, *images.shape[1:])) == (None, grid**2, dim)


def test_patches_are_in_the_papers_order() -> None:
    """The five copies of one bright pixel land where the paper's shifts put them."""
    layer = ShiftedPatchTokenizer(patch_size=4, dim=80, epsilon=1e-6, name="tokenizer")
    layer.build((None, 8, 8, 1))
    layer.norm = lambda patches: patches  # type: ignore[assignment]
    layer.projection.set_weights([np.eye(80, dtype=np.float32), np.zeros(80, np.float32)])
    image = np.zeros((1, 8, 8, 1), np.float32)
    image[0, 3, 2] = 1
    patches = answer(layer, image)
    found = {
        # Token, row and column in the patch, copy.
        (int(token), *(int(part) for part in np.unravel_index(value, (4, 4, 5))))
        for token, value in zip(*np.nonzero(patches[0]), strict=True)
    }
    assert found == {
        (0, 3, 2, 0),  # (3, 2): the image itself
        (0, 1, 0, 1),  # (1, 0): left-up
        (2, 1, 0, 2),  # (5, 0): left-down
        (1, 1, 0, 3),  # (1, 4): right-up
        (3, 1, 0, 4),  # (5, 4): right-down
    }


@pytest.mark.parametrize("shape", [(None, 8, 12, 3), (None, 9, 9, 3), (None, None, None, 3)])
def test_tokenizer_fails_on_images_it_cannot_cut(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(ValueError, match="square images whose size is a multiple of 4"):
        ShiftedPatchTokenizer(patch_size=4, dim=8).build(shape)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    tokens=st.integers(2, 6),
    dim=st.integers(1, 8),
    heads=st.integers(1, 3),
    key_dim=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_attention_equals_the_papers(
    tokens: int, dim: int, heads: int, key_dim: int, seed: int
) -> None:
    layer = LocalitySelfAttention(heads, key_dim, name="attention")
    layer.build((None, tokens, dim))
    weights = randomize(layer, seed)
    x = np.random.default_rng(seed).normal(size=(2, tokens, dim))
    expected = numpy_reference.attend(x, weights, heads)
    np.testing.assert_allclose(answer(layer, x.astype(np.float32)), expected, atol=1e-4)


def test_a_token_does_not_see_itself() -> None:
    layer = LocalitySelfAttention(num_heads=2, key_dim=4, name="attention")
    layer.build((None, 3, 8))
    layer.query.set_weights([np.zeros((8, 8)), np.zeros(8)])
    identity = [np.eye(8), np.zeros(8)]
    layer.value.set_weights(identity)
    layer.projection.set_weights(identity)
    x = np.random.default_rng(0).normal(size=(1, 3, 8)).astype(np.float32)
    # Without scores a token averages all the others.
    others = (x.sum(axis=1, keepdims=True) - x) / 2
    np.testing.assert_allclose(answer(layer, x), others, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*You are using a softmax over axis -1:UserWarning")
def test_a_token_that_is_alone_gives_a_number() -> None:
    layer = LocalitySelfAttention(num_heads=2, key_dim=4)
    assert np.isfinite(answer(layer, np.ones((1, 1, 8), np.float32))).all()


@pytest.mark.parametrize("key_dim", [1, 5, 64])
def test_tau_starts_as_the_root_of_key_dim(key_dim: int) -> None:
    layer = LocalitySelfAttention(num_heads=2, key_dim=key_dim, name="attention")
    layer.build((None, 4, 8))
    assert layer.tau.name == "tau"
    assert layer.tau.path == "attention/tau"
    assert layer.tau.trainable
    assert layer.tau.shape == ()
    assert any(weight is layer.tau for weight in layer.trainable_weights)
    assert float(layer.tau.numpy()) == pytest.approx(key_dim**0.5)


def test_attention_fails_without_a_fixed_number_of_tokens() -> None:
    with pytest.raises(ValueError, match="fixed number of tokens"):
        LocalitySelfAttention(num_heads=2, key_dim=4).build((None, None, 8))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(old=st.integers(1, 9), new=st.integers(1, 20), seed=st.integers(0, 99))
def test_resize_is_bilinear_with_half_pixel_centres(old: int, new: int, seed: int) -> None:
    images = random_pixels(2, old, seed)
    expected = numpy_reference.resize_bilinear(images.astype(np.float64), new)
    resized = answer(BilinearResize(new), images)
    np.testing.assert_allclose(resized, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (BilinearResize(12), (2, 8, 8, 3)),
        (ShiftedPatchTokenizer(4, 6, epsilon=1e-3), (2, 8, 8, 3)),
        (PositionEmbedding(), (2, 4, 8)),
        (LocalitySelfAttention(3, 5, dropout=0.25), (2, 4, 8)),
    ],
)
def test_a_layer_is_built_again_from_its_configuration(
    layer: keras.layers.Layer, shape: tuple[int, ...]
) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = answer(layer, x)
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    copy.build(shape)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(answer(copy, x), expected)
    assert copy.compute_output_shape((None, *shape[1:])) == (None, *expected.shape[1:])
