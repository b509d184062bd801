"""Brightness, contrast, saturation, sharpness, posterising, solarising, automatic contrast."""

import numpy as np

from training.augmentation.operations import COLOR_OPERATIONS

# Factors of the first four go from 0.1 to 1.9, as in RandAugment; posterising leaves at least 4 of 8 bits.
_LARGEST_CHANGE = 0.9
_LARGEST_LOST_BITS = 4
_LEAST_CONTRAST = 0.5
_LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as PIL's conversion to grey."""


def draw_color(operations: dict[str, np.ndarray]) -> np.ndarray:
    """Turns strengths into the numbers by which `change_color` changes each image.

    Args:
        operations: Strengths from -1 to 1 of every operation, [count] each, NaN where one is not drawn.

    Returns:
        [count, 7] float64 in the order of `COLOR_OPERATIONS`: four factors (1 changes nothing), the step
        between posterised values (1: nothing), the value from which solarising inverts (256: nothing), and
        1 where the contrast is stretched.
    """
    drawn = np.stack([operations[name] for name in COLOR_OPERATIONS], axis=1)
    strength = np.nan_to_num(drawn)
    posterize, solarize = np.abs(strength[:, 4]), np.abs(strength[:, 5])
    return np.column_stack(
        [
            1 + _LARGEST_CHANGE * strength[:, :4],
            2.0 ** np.round(posterize * _LARGEST_LOST_BITS),
            256 * (1 - solarize),
            ~np.isnan(drawn[:, 6]),
        ]
    )


def _blend(images: np.ndarray, degenerate: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return np.clip(degenerate + factor * (images - degenerate), 0, 255)


def _grey(images: np.ndarray) -> np.ndarray:
    return (images @ np.array(_LUMA, np.float32))[..., None]


def _smoothed(images: np.ndarray) -> np.ndarray:
    """PIL's smoothing, weights 1 and in the middle 5; the border stays as it is."""
    rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    smoothed = images.copy()
    smoothed[:, 1:-1, 1:-1] = (sums + 4 * images[:, 1:-1, 1:-1]) / 13
    return smoothed


def _brightness(images: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return np.clip(images * factor, 0, 255)


def _contrast(images: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return _blend(images, _grey(images).mean(axis=(1, 2), keepdims=True), factor)


def _saturation(images: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return _blend(images, _grey(images), factor)


def _sharpness(images: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return _blend(images, _smoothed(images), factor)


def _posterize(images: np.ndarray, step: np.ndarray) -> np.ndarray:
    return np.floor(images / step) * step


def _solarize(images: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    return np.where(images >= threshold, 255 - images, images)


def _autocontrast(images: np.ndarray, _: np.ndarray) -> np.ndarray:
    lowest = images.min(axis=(1, 2), keepdims=True)
    contrast = images.max(axis=(1, 2), keepdims=True) - lowest
    # A channel of one value has no contrast to stretch but that of rounding.
    can_stretch = contrast > _LEAST_CONTRAST
    scale = 255 / np.where(can_stretch, contrast, 1)
    return np.where(can_stretch, (images - lowest) * scale, images)


# In the order of `COLOR_OPERATIONS`, with the number that changes nothing.
_CHANGES = (
    (_brightness, 1.0),
    (_contrast, 1.0),
    (_saturation, 1.0),
    (_sharpness, 1.0),
    (_posterize, 1.0),
    (_solarize, 256.0),
    (_autocontrast, 0.0),
)


def change_color(images: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Changes the colours of each image; those for which nothing is drawn cost nothing.

    Args:
        images: [N, H, W, 3] float32, pixel values 0–255; H and W at least 3.
        color: [N, 7] float32, as `draw_color` says.
    """
    changed = images.copy()
    for (change, nothing), numbers in zip(_CHANGES, color.T, strict=True):
        rows = np.flatnonzero(numbers != nothing)
        if len(rows):
            strength = numbers[rows].astype(np.float32)[:, None, None, None]
            changed[rows] = change(changed[rows], strength)
    return changed
