"""Flips, crops, rotations, zooms, shears and shifts: one affine map an image, sampled once."""

import numpy as np

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


def _reflect(coordinates: np.ndarray, size: int) -> np.ndarray:
    """Folds coordinates into [0, size - 1] by mirroring at the outer edges of the border pixels."""
    folded = np.mod(coordinates + np.float32(0.5), np.float32(2 * size))
    return np.clip(np.minimum(folded, 2 * size - folded) - np.float32(0.5), 0, size - 1)


def transform(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Moves pixels; what lies beyond the border is the mirrored image.

    Flips and shifts by whole pixels are exact; all else is interpolated bilinearly.

    Args:
        images: [N, size, size, C] uint8 or float32; the result is float32.
        matrices: [N, 2, 3] float32, as `draw_matrices` says.
    """
    # Rows come from rows and columns from columns, at a whole distance.
    is_whole = (
        (np.abs(matrices[:, [0, 1], [0, 1]]) == 1).all(axis=1)
        & (matrices[:, [0, 1], [1, 0]] == 0).all(axis=1)
        & (matrices[:, :, 2] == np.round(matrices[:, :, 2])).all(axis=1)
    )
    moved = np.empty(images.shape, np.float32)
    for rows, move in (
        (np.flatnonzero(is_whole), _move_whole),
        (np.flatnonzero(~is_whole), _interpolate),
    ):
        if len(rows):
            moved[rows] = move(images[rows], matrices[rows])
    return moved


def _move_whole(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    size = images.shape[1]
    middle = (size - 1) / 2
    steps = np.arange(size) - middle
    y, x = (
        _reflect(matrices[:, axis, axis, None] * steps + matrices[:, axis, 2, None] + middle, size)
        for axis in (0, 1)
    )
    # Rounded, because sums of halves are whole only within float32's precision.
    y, x = np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)
    return images[np.arange(len(images))[:, None, None], y[:, :, None], x[:, None, :]]


def _interpolate(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    count, size, _, channels = images.shape
    middle = np.float32((size - 1) / 2)
    steps = np.arange(size, dtype=np.float32) - middle
    y, x = steps[None, :, None], steps[None, None, :]
    a, b, c = np.moveaxis(matrices.astype(np.float32)[..., None, None], 2, 0)
    source_y = _reflect(a[:, 0] * y + b[:, 0] * x + c[:, 0] + middle, size)
    source_x = _reflect(a[:, 1] * y + b[:, 1] * x + c[:, 1] + middle, size)
    top, left = source_y.astype(np.int32), source_x.astype(np.int32)
    share_y, share_x = (source_y - top)[..., None], (source_x - left)[..., None]
    pixels = images.reshape(-1, channels).astype(np.float32)
    first = (np.arange(count, dtype=np.int32) * size**2)[:, None, None]
    upper_row, lower_row = first + top * size, first + np.minimum(top + 1, size - 1) * size
    right = np.minimum(left + 1, size - 1)

    def blend(row: np.ndarray) -> np.ndarray:
        near = pixels.take(row + left, axis=0)
        return near + share_x * (pixels.take(row + right, axis=0) - near)

    upper = blend(upper_row)
    return upper + share_y * (blend(lower_row) - upper)
