"""Flips, crops, rotations, zooms, shears and shifts: one affine map an image, sampled once."""

from typing import Any

import numpy as np
from keras import ops

from training.recipes import AugmentationRecipe

# Largest changes of the operations, as in RandAugment: degrees, a slope, and a share of the size.
_LARGEST_ROTATION = 30.0
_LARGEST_SHEAR = 0.3
_LARGEST_SHIFT = 0.3


def _identity(count: int) -> np.ndarray:
    return np.tile(np.eye(3), (count, 1, 1))


def _diagonal(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    matrix = _identity(len(y))
    matrix[:, 0, 0], matrix[:, 1, 1] = y, x
    return matrix


def _rotation(angle: np.ndarray) -> np.ndarray:
    matrix = _identity(len(angle))
    matrix[:, 0, 0] = matrix[:, 1, 1] = np.cos(angle)
    matrix[:, 0, 1], matrix[:, 1, 0] = np.sin(angle), -np.sin(angle)
    return matrix


def _shift(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    matrix = _identity(len(y))
    matrix[:, 0, 2], matrix[:, 1, 2] = y, x
    return matrix


def draw_matrices(
    recipe: AugmentationRecipe,
    operations: dict[str, np.ndarray],
    count: int,
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws where the pixels of each image come from.

    A matrix takes (y, x, 1) of a pixel of the changed image, counted from the middle of the image, to (y, x)
    in the image it comes from. The image is flipped, cropped, rotated and zoomed, then the operations follow;
    the ways back are multiplied in this order.

    Args:
        recipe: Says what is drawn.
        operations: Strengths of the drawn operations, [count] each, NaN where one is not drawn; or none.
        count: Number of images.
        size: Height and width of an image, in pixels.
        rng: Source of all randomness; nothing is drawn for what the recipe leaves out.

    Returns:
        [count, 2, 3] float64.
    """
    matrix = _identity(count)
    if recipe.flip:
        mirrored = rng.random(count) < 0.5
        matrix = matrix @ _diagonal(np.ones(count), np.where(mirrored, -1.0, 1.0))
    if recipe.crop_padding:
        y, x = rng.integers(-recipe.crop_padding, recipe.crop_padding + 1, (2, count))
        matrix = matrix @ _shift(y, x)
    if recipe.rotation or recipe.zoom:
        angle = rng.uniform(-recipe.rotation, recipe.rotation, count) * 2 * np.pi
        y, x = rng.uniform(1 - recipe.zoom, 1 + recipe.zoom, (2, count))
        matrix = matrix @ _diagonal(y, x) @ _rotation(angle)
    if operations:
        strength = {name: np.nan_to_num(values) for name, values in operations.items()}
        shear = _identity(count)
        shear[:, 1, 0] = strength["shear_x"] * _LARGEST_SHEAR
        shear[:, 0, 1] = strength["shear_y"] * _LARGEST_SHEAR
        largest = _LARGEST_SHIFT * size
        matrix = (
            matrix
            @ _rotation(np.deg2rad(strength["rotate"] * _LARGEST_ROTATION))
            @ shear
            @ _shift(strength["translate_y"] * largest, strength["translate_x"] * largest)
        )
    return matrix[:, :2]


def _reflect(coordinates: Any, size: int) -> Any:
    """Folds coordinates into [0, size - 1] by mirroring at the outer edges of the border pixels."""
    folded = ops.mod(coordinates + 0.5, 2.0 * size)
    return ops.clip(ops.minimum(folded, 2.0 * size - folded) - 0.5, 0.0, size - 1.0)


def transform(images: Any, matrices: Any, *, interpolate: bool) -> Any:
    """Moves pixels; what lies beyond the border is the mirrored image.

    Args:
        images: [N, size, size, C] float32.
        matrices: [N, 2, 3] float32, as `draw_matrices` says.
        interpolate: Bilinear; else the nearest pixel, which is exact where whole pixels are moved.

    Returns:
        [N, size, size, C] float32.
    """
    _, size, _, channels = images.shape
    middle = (size - 1) / 2
    steps = ops.arange(size, dtype="float32") - middle
    y, x = steps[None, :, None], steps[None, None, :]

    def source(row: int) -> Any:
        a, b, c = (matrices[:, row, column][:, None, None] for column in range(3))
        return _reflect(a * y + b * x + c + middle, size)

    count = ops.shape(images)[0]
    pixels = ops.reshape(images, (-1, channels))
    first = ops.reshape(ops.arange(count, dtype="int32") * (size * size), (-1, 1, 1))

    def pick(row: Any, column: Any) -> Any:
        return ops.take(pixels, first + row * size + column, axis=0)

    source_y, source_x = source(0), source(1)
    if not interpolate:
        # Adding ½ and cutting rounds sums like 2.9999998 to the whole pixel that is meant.
        return pick(ops.cast(source_y + 0.5, "int32"), ops.cast(source_x + 0.5, "int32"))
    top, left = ops.floor(source_y), ops.floor(source_x)
    share_y, share_x = (source_y - top)[..., None], (source_x - left)[..., None]
    top, left = ops.cast(top, "int32"), ops.cast(left, "int32")
    bottom, right = ops.minimum(top + 1, size - 1), ops.minimum(left + 1, size - 1)
    upper = pick(top, left) * (1 - share_x) + pick(top, right) * share_x
    lower = pick(bottom, left) * (1 - share_x) + pick(bottom, right) * share_x
    return upper * (1 - share_y) + lower * share_y
