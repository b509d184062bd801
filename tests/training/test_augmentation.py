"""Each change against a loop over images and pixels."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.augmentation import Augmentation, random_affine, random_crop, random_flip

quick = settings(max_examples=25, deadline=None, derandomize=True)
sizes = st.integers(2, 7)
seeds = st.integers(0, 2**32 - 1)

ALL = Augmentation(flip=True, crop_padding=2, rotation=0.1, zoom=0.2)


def random_images(count: int, height: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def reflect_inside(index: int, size: int) -> int:
    """Mirrors at the middle of the border pixels: … 2 1 | 0 1 2 …"""
    while not 0 <= index < size:
        index = -index if index < 0 else 2 * (size - 1) - index
    return index


def reflect_at_edge(index: int, size: int) -> int:
    """Mirrors at the outer edge of the border pixels: … 1 0 | 0 1 …"""
    while not 0 <= index < size:
        index = -1 - index if index < 0 else 2 * size - 1 - index
    return index


@quick
@given(count=st.integers(1, 9), height=sizes, width=sizes, seed=seeds)
def test_flip_mirrors_the_images_that_are_drawn(
    count: int, height: int, width: int, seed: int
) -> None:
    images = random_images(count, height, width, seed)
    mirrored = np.random.default_rng(seed).random(count) < 0.5
    expected = images.copy()
    for index in range(count):
        if mirrored[index]:
            for column in range(width):
                expected[index, :, column] = images[index, :, width - 1 - column]
    result = random_flip(images, np.random.default_rng(seed))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, expected)


@quick
@given(count=st.integers(1, 5), height=sizes, width=sizes, padding=st.integers(1, 4), seed=seeds)
def test_crop_shifts_each_image_as_drawn(
    count: int, height: int, width: int, padding: int, seed: int
) -> None:
    images = random_images(count, height, width, seed)
    top, left = np.random.default_rng(seed).integers(0, 2 * padding + 1, (2, count))
    expected = np.empty_like(images)
    for index in range(count):
        for row in range(height):
            for column in range(width):
                expected[index, row, column] = images[
                    index,
                    reflect_inside(row + int(top[index]) - padding, height),
                    reflect_inside(column + int(left[index]) - padding, width),
                ]
    result = random_crop(images, padding, np.random.default_rng(seed))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, expected)


@quick
@given(
    count=st.integers(1, 3),
    height=sizes,
    width=sizes,
    rotation=st.floats(0, 0.5),
    zoom=st.floats(0, 0.9),
    seed=seeds,
)
def test_affine_samples_each_pixel_where_it_came_from(
    count: int, height: int, width: int, rotation: float, zoom: float, seed: int
) -> None:
    images = random_images(count, height, width, seed).astype(np.float32)
    rng = np.random.default_rng(seed)
    turns = rng.uniform(-rotation, rotation, count)
    heights, widths = rng.uniform(1 - zoom, 1 + zoom, (2, count))
    expected = np.zeros(images.shape)
    for index in range(count):
        angle = 2 * math.pi * turns[index]
        for row in range(height):
            for column in range(width):
                y, x = row - (height - 1) / 2, column - (width - 1) / 2
                from_y = (math.cos(angle) * y + math.sin(angle) * x) * heights[index]
                from_x = (math.cos(angle) * x - math.sin(angle) * y) * widths[index]
                from_y, from_x = from_y + (height - 1) / 2, from_x + (width - 1) / 2
                for near_y in (math.floor(from_y), math.floor(from_y) + 1):
                    for near_x in (math.floor(from_x), math.floor(from_x) + 1):
                        share = (1 - abs(from_y - near_y)) * (1 - abs(from_x - near_x))
                        near = images[
                            index, reflect_at_edge(near_y, height), reflect_at_edge(near_x, width)
                        ]
                        expected[index, row, column] += share * near
    result = random_affine(images, rotation, zoom, np.random.default_rng(seed))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-2)


@quick
@given(count=st.integers(0, 4), height=sizes, width=sizes, seed=seeds)
def test_affine_without_a_range_changes_nothing(
    count: int, height: int, width: int, seed: int
) -> None:
    images = random_images(count, height, width, seed).astype(np.float32)
    result = random_affine(images, 0.0, 0.0, np.random.default_rng(seed))
    np.testing.assert_array_equal(result, images)


def test_affine_turns_counter_clockwise_by_the_angle() -> None:
    """A quarter turn puts every pixel on another one: no interpolation hides the direction."""

    class QuarterTurn:
        def uniform(self, low: float, high: float, size: int | tuple[int, int]) -> np.ndarray:
            return np.full(size, high)

    images = random_images(1, 5, 5, seed=0).astype(np.float32)
    turned = random_affine(images, 0.25, 0.0, QuarterTurn())  # type: ignore[arg-type]
    np.testing.assert_allclose(turned[0], np.rot90(images[0], 1), atol=1e-3)


@quick
@given(
    flip=st.booleans(),
    padding=st.integers(0, 3),
    rotation=st.sampled_from([0.0, 0.05, 0.5]),
    zoom=st.sampled_from([0.0, 0.3]),
    count=st.integers(0, 5),
    height=sizes,
    width=sizes,
    seed=seeds,
)
def test_augmentation_keeps_shape_and_range_and_leaves_its_input(
    flip: bool,
    padding: int,
    rotation: float,
    zoom: float,
    count: int,
    height: int,
    width: int,
    seed: int,
) -> None:
    images = random_images(count, height, width, seed)
    original = images.copy()
    images.flags.writeable = False
    augmentation = Augmentation(flip, padding, rotation, zoom)
    result = augmentation(images, np.random.default_rng(seed))
    assert result.dtype == np.float32
    assert result.shape == images.shape
    np.testing.assert_array_equal(images, original)
    for changed, image in zip(result, original, strict=True):
        assert image.min() - 1e-3 <= changed.min() <= changed.max() <= image.max() + 1e-3
    again = augmentation(images, np.random.default_rng(seed))
    np.testing.assert_array_equal(again, result)


def test_no_augmentation_gives_the_pixels_as_they_are() -> None:
    images = random_images(3, 4, 4, seed=0)
    result = Augmentation()(images, np.random.default_rng(0))
    np.testing.assert_array_equal(result, images.astype(np.float32))
    assert not np.shares_memory(result, images)


@pytest.mark.parametrize(
    ("change", "at_least"),
    [
        (lambda images, rng: random_flip(images, rng), 2),
        (lambda images, rng: random_crop(images, 2, rng), 15),
        (lambda images, rng: random_affine(images.astype(np.float32), 0.02, 0.2, rng), 60),
        (ALL, 60),
    ],
)
def test_each_image_is_changed_on_its_own(
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray], at_least: int
) -> None:
    same = np.repeat(random_images(1, 8, 8, seed=1), 64, axis=0)
    result = change(same, np.random.default_rng(0))
    assert len({image.tobytes() for image in result}) >= at_least


def test_half_of_the_images_are_mirrored() -> None:
    same = np.repeat(random_images(1, 2, 2, seed=1), 1000, axis=0)
    result = random_flip(same, np.random.default_rng(0))
    mirrored = (result != same).any(axis=(1, 2, 3)).sum()
    assert 440 < mirrored < 560


def test_another_draw_gives_other_images() -> None:
    images = random_images(8, 8, 8, seed=1)
    rng = np.random.default_rng(0)
    assert (ALL(images, rng) != ALL(images, rng)).any()
