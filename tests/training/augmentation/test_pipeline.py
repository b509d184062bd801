"""A batch from draws to what the model sees, and the same on every backend."""

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.augmentation.references import numpy, quick, random_images, seeds, tensor
from tests.training.processes import run_python
from tests.training.small_parts import LIVELY, RECIPE
from training.augmentation.draws import Draws, draw_epoch, interpolates
from training.augmentation.pipeline import augment
from training.recipes import AugmentationRecipe, MixingRecipe, Recipe
from vitsd_export.data.sample import load_sample

CLASSES = 5


def batch(recipe: Recipe, *, size: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Draws]:
    """Images, labels, and the draws of the one step of an epoch."""
    drawn = draw_epoch(recipe, count=recipe.batch_size, size=size, seed=seed, epoch=0)
    images = random_images(recipe.batch_size, size, seed).astype(np.uint8)
    labels = np.eye(CLASSES, dtype=np.float32)[np.arange(recipe.batch_size) % CLASSES]
    return images, labels, {name: array[0] for name, array in drawn.items() if name != "index"}


def augmented(
    images: np.ndarray, labels: np.ndarray, drawn: Draws, *, interpolate: bool
) -> tuple[np.ndarray, np.ndarray]:
    pixels, shares = augment(
        keras.ops.convert_to_tensor(images),
        tensor(labels),
        {name: tensor(array) for name, array in drawn.items()},
        interpolate=interpolate,
    )
    return numpy(pixels), numpy(shares)


@pytest.mark.parametrize("interpolate", [False, True])
def test_without_draws_the_pixels_are_as_they_were(interpolate: bool) -> None:
    images, labels, _ = batch(RECIPE)
    pixels, shares = augmented(images, labels, {}, interpolate=interpolate)
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
    pixels, shares = augmented(images, labels, drawn, interpolate=interpolates(recipe))
    assert pixels.shape == images.shape
    assert shares.shape == labels.shape
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
    pixels, _ = augmented(images, labels, drawn, interpolate=interpolates(recipe))
    assert len({image.tobytes() for image in pixels}) >= at_least


def test_a_rectangle_is_painted_after_the_colours_change_and_before_images_are_mixed() -> None:
    images, labels, _ = batch(RECIPE)
    count = len(images)
    color = np.tile([0.5, 1, 1, 1, 1, 256, 0], (count, 1))
    everywhere = np.tile([0, 0, 8, 8], (count, 1))
    painted = np.where(np.arange(count) % 2, 200.0, 100.0)[:, None]
    drawn = {
        # Mirrored left to right.
        "matrix": np.tile([[1, 0, 0], [0, -1, 0]], (count, 1, 1)),
        "color": color,
        "erased_box": everywhere * [1, 1, 1, 0.5],
        "erased_color": painted * np.ones(3),
        "mixed_box": everywhere * [1, 1, 0.5, 1],
        "pixel_share": np.ones(count),
        "label_share": np.full(count, 0.5),
    }
    pixels, shares = augmented(images, labels, drawn, interpolate=False)
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


def test_pixels_are_interpolated_only_if_asked() -> None:
    images, labels, _ = batch(RECIPE)
    drawn = {"matrix": np.tile([[1, 0, 0.5], [0, 1, 0]], (len(images), 1, 1))}
    whole, _ = augmented(images, labels, drawn, interpolate=False)
    between, _ = augmented(images, labels, drawn, interpolate=True)
    np.testing.assert_array_equal(whole[:, :-1], images[:, 1:])
    means = (images[:, :-1].astype(float) + images[:, 1:]) / 2
    np.testing.assert_allclose(between[:, :-1], means, atol=1e-3)


# Executed in a process of its own, whose Keras runs on another backend.
_AUGMENT = """
import sys
import keras
import numpy as np
from training.augmentation.pipeline import augment

source, target = sys.argv[1:]
with np.load(source) as file:
    arrays = {name: keras.ops.convert_to_tensor(file[name]) for name in file}
images, labels = arrays.pop("images"), arrays.pop("labels")
pixels, shares = augment(images, labels, arrays, interpolate=True)
print(keras.backend.backend(), keras.ops.convert_to_numpy(pixels).dtype)
np.savez(target, pixels=keras.ops.convert_to_numpy(pixels), shares=keras.ops.convert_to_numpy(shares))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_backend_makes_the_same_pixels(backend: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    recipe = dataclasses.replace(
        LIVELY,
        batch_size=64,
        augmentation=dataclasses.replace(LIVELY.augmentation, operations=3, erasing=0.3),
    )
    _, labels, drawn = batch(recipe, size=32)
    images = load_sample("calibration").images[:64]
    np.savez(tmp_path / "batch.npz", images=images, labels=labels, **drawn)  # type: ignore[arg-type]
    told = run_python(
        _AUGMENT, tmp_path / "batch.npz", tmp_path / "result.npz", KERAS_BACKEND=backend
    )
    assert told.split() == [backend, "float32"]
    pixels, shares = augmented(images, labels, drawn, interpolate=True)
    assert (drawn["color"][:, 4] > 1).any()
    with np.load(tmp_path / "result.npz") as result:
        np.testing.assert_allclose(result["shares"], shares, atol=1e-6)
        difference = np.abs(result["pixels"] - pixels)
    # Posterising and solarising jump: what differs in the last bit may land on either side.
    assert (difference > 1e-3).mean() < 1e-4
    assert np.median(difference) < 1e-4
