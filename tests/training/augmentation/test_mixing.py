"""Mixing of images and labels: what is seen in the image is what the label says."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.augmentation_references import floats, quick, random_images, seeds, sizes
from training.augmentation.mixing import draw_mixing, mix
from training.recipes import MixingRecipe

ALWAYS = MixingRecipe(probability=1.0, cutmix_share=0.5)
CUTMIX = dataclasses.replace(ALWAYS, cutmix_share=1.0)
MIXUP = dataclasses.replace(ALWAYS, cutmix_share=0.0)


def draw(recipe: MixingRecipe, count: int, size: int, seed: int = 0) -> dict[str, np.ndarray]:
    return draw_mixing(recipe, count, size, np.random.default_rng(seed), is_on=True)


def mixed(
    images: np.ndarray, labels: np.ndarray, drawn: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    pixels, shares = mix(
        floats(images),
        floats(labels),
        *(floats(drawn[name]) for name in ("mixed_box", "pixel_share", "label_share")),
    )
    assert pixels.dtype == shares.dtype == np.float32
    return pixels, shares


def partner(index: int) -> int:
    return index + 1 if index % 2 == 0 else index - 1


@quick
@given(pairs=st.integers(0, 3), size=sizes, seed=seeds)
def test_pixels_and_labels_are_mixed_with_the_neighbour(pairs: int, size: int, seed: int) -> None:
    count = 2 * pairs
    images = random_images(count, size, seed)
    labels = np.eye(5, dtype=np.float32)[np.random.default_rng(seed).integers(0, 5, count)]
    original = images.copy(), labels.copy()
    images.flags.writeable = labels.flags.writeable = False
    drawn = draw(ALWAYS, count, size, seed)
    pixels, shares = mixed(images, labels, drawn)
    assert pixels.shape == images.shape
    assert shares.shape == labels.shape
    for index in range(count):
        top, left, bottom, right = drawn["mixed_box"][index]
        for row in range(size):
            for column in range(size):
                is_inside = top <= row < bottom and left <= column < right
                own = 0.0 if is_inside else drawn["pixel_share"][index]
                expected = own * images[index, row, column].astype(float)
                expected += (1 - own) * images[partner(index), row, column].astype(float)
                np.testing.assert_allclose(pixels[index, row, column], expected, atol=1e-3)
        own = drawn["label_share"][index]
        expected = own * labels[index] + (1 - own) * labels[partner(index)]
        np.testing.assert_allclose(shares[index], expected, atol=1e-6)
    np.testing.assert_array_equal(images, original[0])
    np.testing.assert_array_equal(labels, original[1])


@quick
@given(
    pairs=st.integers(1, 8),
    size=st.integers(1, 12),
    probability=st.floats(0, 1),
    cutmix_share=st.floats(0, 1),
    alpha=st.floats(1e-3, 1000),
    seed=seeds,
)
def test_a_label_has_the_share_that_is_seen_in_the_image(
    pairs: int, size: int, probability: float, cutmix_share: float, alpha: float, seed: int
) -> None:
    """Every image has one colour of its own and a class of its own, so pixels can be counted."""
    count = 2 * pairs
    recipe = MixingRecipe(probability, cutmix_share, alpha, alpha)
    own = 10.0 + 10 * np.arange(count)
    images = np.broadcast_to(own[:, None, None, None], (count, size, size, 3))
    pixels, shares = mixed(images, np.eye(count), draw(recipe, count, size, seed))
    for index in range(count):
        other = own[partner(index)]
        seen = 0.0
        for row in range(size):
            for column in range(size):
                seen += (pixels[index, row, column, 0] - other) / (own[index] - other) / size**2
        assert shares[index, index] == pytest.approx(seen, abs=1e-4)
        assert shares[index, partner(index)] == pytest.approx(1 - seen, abs=1e-4)
        assert np.count_nonzero(shares[index]) <= 2


def test_cutmix_takes_whole_pixels_and_mixup_a_share_of_every_one() -> None:
    count, size = 200, 8
    images = np.zeros((count, size, size, 3))
    images[::2] = 200
    labels = np.tile(np.eye(2), (count // 2, 1))
    cut, _ = mixed(images, labels, draw(CUTMIX, count, size))
    assert set(np.unique(cut)) == {0, 200}
    averaged, _ = mixed(images, labels, draw(MIXUP, count, size))
    assert (averaged == averaged[:, :1, :1, :1]).all()
    assert ((averaged > 1) & (averaged < 199)).all(axis=(1, 2, 3)).mean() > 0.8


def test_boxes_are_squares_about_a_pixel_cut_at_the_border() -> None:
    size, count = 32, 5000
    drawn = draw(CUTMIX, count, size)
    top, left, bottom, right = drawn["mixed_box"].T
    np.testing.assert_array_equal(drawn["mixed_box"], np.round(drawn["mixed_box"]))
    assert drawn["mixed_box"].min() == 0
    assert drawn["mixed_box"].max() == size
    height, width = bottom - top, right - left
    is_whole = (top > 0) & (left > 0) & (bottom < size) & (right < size)
    assert is_whole.sum() > 500
    np.testing.assert_array_equal(height[is_whole], width[is_whole])
    np.testing.assert_array_equal(drawn["label_share"], 1 - height * width / size**2)
    np.testing.assert_array_equal(drawn["pixel_share"], 1)
    # Of a square of side s about an even point, s - s²/4 remains on either axis; s² is even in 0–1.
    sides = np.sqrt((np.arange(10_000) + 0.5) / 10_000)
    expected = ((sides - sides**2 / 4) ** 2).mean()
    assert (height * width / size**2).mean() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_have_the_spread_of_their_distribution(alpha: float) -> None:
    recipe = dataclasses.replace(MIXUP, mixup_alpha=alpha)
    shares = draw(recipe, 20_000, 8)["label_share"]
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_images_are_mixed_as_often_as_the_recipe_says() -> None:
    recipe = MixingRecipe(probability=0.4, cutmix_share=0.25)
    drawn = draw(recipe, 20_000, 32)
    is_cut = drawn["mixed_box"].any(axis=1)
    is_averaged = drawn["pixel_share"] < 1
    assert not (is_cut & is_averaged).any()
    # A few boxes round to nothing.
    assert is_cut.mean() == pytest.approx(0.1, abs=0.01)
    assert is_averaged.mean() == pytest.approx(0.3, abs=0.015)


@pytest.mark.parametrize(
    "drawn",
    [
        draw(MixingRecipe(probability=0.0), 10, 8),
        draw_mixing(ALWAYS, 10, 8, np.random.default_rng(0), is_on=False),
    ],
)
def test_nothing_is_mixed_when_it_is_off(drawn: dict[str, np.ndarray]) -> None:
    images, labels = random_images(10, 8, seed=0), np.eye(10)
    pixels, shares = mixed(images, labels, drawn)
    np.testing.assert_array_equal(pixels, images)
    np.testing.assert_array_equal(shares, labels)
