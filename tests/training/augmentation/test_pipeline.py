"""A batch from draws to what the model sees."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from tests.support.augmentation_references import floats, quick, random_images, seeds
from tests.support.processes import run_python
from tests.support.training_parts import RECIPE
from training.augmentation.draws import Draws, draw_epoch
from training.augmentation.pipeline import augment
from training.recipes import AugmentationRecipe, MixingRecipe, Recipe

CLASSES = 5


def batch(recipe: Recipe, *, size: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Draws]:
    """Images, labels, and the draws of the one step of an epoch."""
    drawn = draw_epoch(recipe, count=recipe.batch_size, size=size, seed=seed, epoch=0)
    images = random_images(recipe.batch_size, size, seed).astype(np.uint8)
    labels = np.eye(CLASSES, dtype=np.float32)[np.arange(recipe.batch_size) % CLASSES]
    return images, labels, {name: array[0] for name, array in drawn.items() if name != "index"}


def test_without_draws_the_pixels_are_as_they_were() -> None:
    images, labels, _ = batch(RECIPE)
    pixels, shares = augment(images, labels, {})
    assert pixels.dtype == shares.dtype == np.float32
    np.testing.assert_array_equal(pixels, images.astype(np.float32))
    np.testing.assert_array_equal(shares, labels)


@quick
@given(
    flip=st.booleans(),
    crop_padding=st.integers(0, 5),
    rotation=st.sampled_from([0.0, 0.02, 0.5]),
    zoom=st.sampled_from([0.0, 0.2, 0.9]),
    operations=st.integers(0, 12),
    magnitude=st.floats(0, 1),
    erasing=st.floats(0, 1),
    mixing=st.floats(0, 1),
    seed=seeds,
)
def test_shape_range_and_labels_are_kept_whatever_the_recipe(
    mixing: float, seed: int, **augmentation: Any
) -> None:
    recipe = dataclasses.replace(
        RECIPE,
        augmentation=AugmentationRecipe(**augmentation),
        mixing=MixingRecipe(probability=mixing),
    )
    images, labels, drawn = batch(recipe, seed=seed)
    original = images.copy()
    for array in (images, labels, *drawn.values()):
        array.flags.writeable = False
    pixels, shares = augment(images, labels, drawn)
    assert pixels.shape == images.shape
    assert shares.shape == labels.shape
    assert pixels.dtype == shares.dtype == np.float32
    assert pixels.min() >= -1e-3
    assert pixels.max() <= 255 + 1e-3
    assert shares.min() >= 0
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(images, original)


@pytest.mark.parametrize(
    ("augmentation", "at_least"),
    [
        (AugmentationRecipe(flip=True), 2),
        (AugmentationRecipe(crop_padding=2), 15),
        (AugmentationRecipe(rotation=0.02, zoom=0.2), 60),
        (AugmentationRecipe(operations=2), 50),
        (AugmentationRecipe(erasing=1.0), 60),
    ],
)
def test_each_image_is_changed_on_its_own(augmentation: AugmentationRecipe, at_least: int) -> None:
    recipe = dataclasses.replace(
        RECIPE, batch_size=64, augmentation=augmentation, mixing=MixingRecipe()
    )
    images, labels, drawn = batch(recipe)
    images[:] = images[0]
    pixels, _ = augment(images, labels, drawn)
    assert len({image.tobytes() for image in pixels}) >= at_least


def test_a_rectangle_is_painted_after_the_colours_change_and_before_images_are_mixed() -> None:
    images, labels, _ = batch(RECIPE)
    count = len(images)
    color = np.tile([0.5, 1, 1, 1, 1, 256, 0], (count, 1))
    everywhere = np.tile([0, 0, 8, 8], (count, 1))
    painted = np.where(np.arange(count) % 2, 200.0, 100.0)[:, None]
    drawn: dict[str, ArrayLike] = {
        # Mirrored left to right.
        "matrix": np.tile([[1, 0, 0], [0, -1, 0]], (count, 1, 1)),
        "color": color,
        "erased_box": everywhere * [1, 1, 1, 0.5],
        "erased_color": painted * np.ones(3),
        "mixed_box": everywhere * [1, 1, 0.5, 1],
        "pixel_share": np.ones(count),
        "label_share": np.full(count, 0.5),
    }
    pixels, shares = augment(images, labels, {name: floats(array) for name, array in drawn.items()})
    # Above the neighbour's, below one's own; painted at the left, whatever was mirrored.
    other = np.arange(count).reshape(-1, 2)[:, ::-1].ravel()
    np.testing.assert_array_equal(
        pixels[:, :4, :4], (painted[other] * np.ones((1, 48))).reshape(-1, 4, 4, 3)
    )
    np.testing.assert_array_equal(
        pixels[:, 4:, :4], (painted * np.ones((1, 48))).reshape(-1, 4, 4, 3)
    )
    mirrored = images[:, :, ::-1] / 2
    np.testing.assert_array_equal(pixels[:, :4, 4:], mirrored[other][:, :4, 4:])
    np.testing.assert_array_equal(pixels[:, 4:, 4:], mirrored[:, 4:, 4:])
    np.testing.assert_array_equal(shares, (labels + labels[other]) / 2)


@pytest.mark.parametrize(
    ("augmentation", "is_whole"),
    [
        (AugmentationRecipe(flip=True, crop_padding=3), True),
        (AugmentationRecipe(flip=True, crop_padding=3, rotation=0.02), False),
        (AugmentationRecipe(operations=12), False),
    ],
)
def test_values_between_those_of_pixels_come_of_interpolation_and_colours_alone(
    augmentation: AugmentationRecipe, is_whole: bool
) -> None:
    recipe = dataclasses.replace(RECIPE, augmentation=augmentation, mixing=MixingRecipe())
    pixels, _ = augment(*batch(recipe))
    assert (pixels == np.round(pixels)).all() == is_whole


def test_a_batch_is_augmented_without_a_backend() -> None:
    """Batches are made on threads, which must not wait for the device nor for Keras."""
    modules = run_python(
        "import sys, training.augmentation.pipeline\n"
        "print(sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)))"
    )
    assert modules.strip() == "[]"
