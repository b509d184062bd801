"""Where pixels come from, against loops over images and pixels in double precision."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.augmentation_references import (
    floats,
    quick,
    random_images,
    reflect,
    seeds,
    sizes,
)
from training.augmentation.geometry import draw_matrices, transform
from training.augmentation.operations import GEOMETRIC_OPERATIONS, OPERATIONS
from training.recipes import AugmentationRecipe

Point = tuple[float, float]
PLAIN = AugmentationRecipe(operations=1)


class Highest:
    """Draws the upper end of every range."""

    def uniform(self, low: float, high: float, size: int | tuple[int, int]) -> np.ndarray:
        return np.full(size, high)


def only(name: str, strength: float) -> dict[str, np.ndarray]:
    """One image's operations: this one alone."""
    return {
        other: np.array([strength if other == name else math.nan])
        for other in OPERATIONS
        if other != "identity"
    }


def matrices_of(name: str, strength: float, size: int) -> np.ndarray:
    return draw_matrices(PLAIN, only(name, strength), 1, size, np.random.default_rng(0))


def bilinear(image: np.ndarray, y: float, x: float) -> np.ndarray:
    size = len(image)
    value = np.zeros(image.shape[-1])
    for near_y in (math.floor(y), math.floor(y) + 1):
        for near_x in (math.floor(x), math.floor(x) + 1):
            share = (1 - abs(y - near_y)) * (1 - abs(x - near_x))
            value += share * image[reflect(near_y, size), reflect(near_x, size)].astype(float)
    return value


def turn(angle: float, point: Point) -> Point:
    y, x = point
    return (
        math.cos(angle) * y + math.sin(angle) * x,
        math.cos(angle) * x - math.sin(angle) * y,
    )


@quick
@given(
    count=st.integers(0, 3),
    size=sizes,
    entries=st.lists(st.floats(-3, 3), min_size=18, max_size=18),
    seed=seeds,
)
def test_each_pixel_is_interpolated_where_its_matrix_points(
    count: int, size: int, entries: list[float], seed: int
) -> None:
    images = random_images(count, size, seed)
    matrices = np.array(entries, np.float32).reshape(3, 2, 3)[:count]
    middle = (size - 1) / 2
    expected = np.zeros(images.shape)
    for index in range(count):
        matrix = matrices[index].astype(float)
        for row in range(size):
            for column in range(size):
                y, x, one = row - middle, column - middle, 1.0
                from_y, from_x = (a * y + b * x + c * one + middle for a, b, c in matrix)
                expected[index, row, column] = bilinear(images[index], from_y, from_x)
    result = transform(images, floats(matrices))
    np.testing.assert_allclose(result, expected, atol=1e-2)


@quick
@given(
    count=st.integers(0, 5),
    size=sizes,
    flip=st.booleans(),
    padding=st.integers(0, 9),
    seed=seeds,
)
def test_flips_and_crops_move_whole_pixels(
    count: int, size: int, flip: bool, padding: int, seed: int
) -> None:
    images = random_images(count, size, seed)
    rng = np.random.default_rng(seed)
    mirrored = rng.random(count) < 0.5 if flip else np.zeros(count, bool)
    down, right = rng.integers(-padding, padding + 1, (2, count))
    expected = np.empty_like(images)
    for index in range(count):
        for row in range(size):
            for column in range(size):
                from_row = reflect(row + int(down[index]), size)
                from_column = reflect(column + int(right[index]), size)
                if mirrored[index]:
                    from_column = size - 1 - from_column
                expected[index, row, column] = images[index, from_row, from_column]
    recipe = AugmentationRecipe(flip=flip, crop_padding=padding)
    matrices = draw_matrices(recipe, {}, count, size, np.random.default_rng(seed))
    result = transform(images, floats(matrices))
    np.testing.assert_array_equal(result, expected)


@quick
@given(count=st.integers(1, 6), size=sizes, seed=seeds)
def test_each_image_of_a_batch_is_moved_by_whole_pixels_or_interpolated_as_if_it_were_alone(
    count: int, size: int, seed: int
) -> None:
    """Pixels may be integers, as in a data set, or floats."""
    rng = np.random.default_rng(seed)
    images = random_images(count, size, seed)
    whole = draw_matrices(AugmentationRecipe(flip=True, crop_padding=3), {}, count, size, rng)
    turned = draw_matrices(AugmentationRecipe(rotation=0.5, zoom=0.5), {}, count, size, rng)
    matrices = floats(np.where(rng.random(count)[:, None, None] < 0.5, whole, turned))
    moved = transform(images, matrices)
    assert moved.dtype == np.float32
    np.testing.assert_array_equal(transform(images.astype(np.uint8), matrices), moved)
    for index in range(count):
        one = slice(index, index + 1)
        np.testing.assert_array_equal(transform(images[one], matrices[one]), moved[one])


@pytest.mark.parametrize("shift", [0.5, 1e-3, -1.25])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_shift_by_a_part_of_a_pixel_is_interpolated(shift: float, axis: int) -> None:
    images = random_images(1, 6, seed=0)
    matrices = np.eye(2, 3)[None]
    matrices[0, axis, 2] = shift
    moved = transform(images, floats(matrices))[0].take(2, axis)
    below = math.floor(shift)
    near, far = (images[0].take(2 + below + step, axis).astype(float) for step in (0, 1))
    np.testing.assert_allclose(moved, near + (shift - below) * (far - near), atol=1e-3)
    assert (moved != near).any()


@quick
@given(
    size=sizes,
    rotation=st.floats(0, 0.5),
    zoom=st.floats(0, 0.9),
    strengths=st.lists(st.floats(-1, 1), min_size=5, max_size=5),
    y=st.floats(-4, 4),
    x=st.floats(-4, 4),
    seed=seeds,
)
def test_the_way_back_undoes_the_last_change_first(
    size: int,
    rotation: float,
    zoom: float,
    strengths: list[float],
    y: float,
    x: float,
    seed: int,
) -> None:
    recipe = AugmentationRecipe(
        flip=True, crop_padding=2, rotation=rotation, zoom=zoom, operations=5
    )
    rng = np.random.default_rng(seed)
    mirrored = rng.random(1)[0] < 0.5
    down, right = rng.integers(-2, 3, (2, 1))[:, 0]
    angle = rng.uniform(-rotation, rotation, 1)[0] * 2 * math.pi
    height, width = rng.uniform(1 - zoom, 1 + zoom, (2, 1))[:, 0]
    rotate, shear_x, shear_y, translate_x, translate_y = strengths

    point = (y + translate_y * 0.3 * size, x + translate_x * 0.3 * size)
    point = (point[0] + 0.3 * shear_y * point[1], point[1] + 0.3 * shear_x * point[0])
    point = turn(math.radians(30 * rotate), point)
    point = turn(angle, point)
    point = (point[0] * height + down, point[1] * width + right)
    expected = (point[0], -point[1] if mirrored else point[1])

    operations = {name: np.array([math.nan]) for name in OPERATIONS if name != "identity"}
    for name, strength in zip(GEOMETRIC_OPERATIONS, strengths, strict=True):
        operations[name] = np.array([strength])
    matrices = draw_matrices(recipe, operations, 1, size, np.random.default_rng(seed))
    assert matrices.shape == (1, 2, 3)
    np.testing.assert_allclose(matrices[0] @ [y, x, 1], expected, atol=1e-9)


def test_nothing_drawn_moves_nothing() -> None:
    images = random_images(4, 6, seed=0)
    nothing = {name: np.full(4, np.nan) for name in OPERATIONS if name != "identity"}
    for recipe, operations in ((AugmentationRecipe(), {}), (PLAIN, nothing)):
        matrices = draw_matrices(recipe, operations, 4, 6, np.random.default_rng(0))
        result = transform(images, floats(matrices))
        np.testing.assert_array_equal(result, images)


@pytest.mark.parametrize(
    "matrices",
    [
        draw_matrices(AugmentationRecipe(rotation=0.25), {}, 1, 5, Highest()),  # type: ignore[arg-type]
        # The largest rotation of the operation is 30 degrees.
        matrices_of("rotate", 3.0, 5),
    ],
)
def test_a_positive_quarter_turn_is_counter_clockwise(matrices: np.ndarray) -> None:
    """It puts every pixel on another one: no interpolation hides the direction."""
    images = random_images(1, 5, seed=0)
    turned = transform(images, floats(matrices))
    np.testing.assert_allclose(turned[0], np.rot90(images[0], 1), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "from_y", "from_x"),
    [
        ("shear_x", lambda y, x: y, lambda y, x: x + 0.15 * y),
        ("shear_y", lambda y, x: y + 0.15 * x, lambda y, x: x),
        ("translate_x", lambda y, x: y, lambda y, x: x + 3),
        ("translate_y", lambda y, x: y + 3, lambda y, x: x),
    ],
)
def test_an_operation_moves_along_its_axis(
    name: str, from_y: Callable[[float, float], float], from_x: Callable[[float, float], float]
) -> None:
    """Two ramps tell, in the changed image, where each pixel was taken; half strength, size 20."""
    size = 20
    rows, columns = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    ramps = floats(np.stack([rows, columns, 0 * rows], axis=-1)[None])
    matrices = matrices_of(name, 0.5, size)
    result = transform(ramps, floats(matrices))[0]
    middle = (size - 1) / 2
    for row in range(4, size - 4):
        for column in range(4, size - 4):
            y, x = row - middle, column - middle
            expected = (from_y(y, x) + middle, from_x(y, x) + middle, 0)
            np.testing.assert_allclose(result[row, column], expected, atol=1e-4)


def test_a_zoom_above_one_shows_more_of_the_image() -> None:
    matrices = draw_matrices(AugmentationRecipe(zoom=0.2), {}, 1, 8, Highest())  # type: ignore[arg-type]
    np.testing.assert_allclose(matrices[0], [[1.2, 0, 0], [0, 1.2, 0]])


def test_half_of_the_images_are_mirrored_and_crops_reach_everywhere() -> None:
    count, padding = 5000, 2
    recipe = AugmentationRecipe(flip=True, crop_padding=padding)
    matrices = draw_matrices(recipe, {}, count, 8, np.random.default_rng(0))
    mirrored = matrices[:, 1, 1] == -1
    assert mirrored.mean() == pytest.approx(0.5, abs=0.04)
    shifts = {tuple(shift) for shift in matrices[~mirrored][:, :, 2]}
    steps = range(-padding, padding + 1)
    assert shifts == {(y, x) for y in steps for x in steps}


def test_angles_and_zooms_fill_their_ranges_evenly() -> None:
    count = 5000
    rng = np.random.default_rng(0)
    turned = draw_matrices(AugmentationRecipe(rotation=0.1), {}, count, 8, rng)
    angles = np.arctan2(turned[:, 0, 1], turned[:, 0, 0]) / (2 * np.pi)
    zoomed = draw_matrices(AugmentationRecipe(zoom=0.2), {}, count, 8, rng)
    for values, low, high in (
        (angles, -0.1, 0.1),
        (zoomed[:, 0, 0], 0.8, 1.2),
        (zoomed[:, 1, 1], 0.8, 1.2),
    ):
        assert low <= values.min() <= values.max() <= high
        quarters = np.histogram(values, bins=4, range=(low, high))[0] / count
        np.testing.assert_allclose(quarters, 0.25, atol=0.04)
    # Height and width are drawn apart.
    assert abs(np.corrcoef(zoomed[:, 0, 0], zoomed[:, 1, 1])[0, 1]) < 0.1


def test_nothing_is_drawn_for_what_the_recipe_leaves_out() -> None:
    rng = np.random.default_rng(0)
    draw_matrices(AugmentationRecipe(), {}, 4, 8, rng)
    assert rng.random() == np.random.default_rng(0).random()
