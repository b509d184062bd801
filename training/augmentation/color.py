"""Brightness, contrast, saturation, sharpness, posterising, solarising, automatic contrast."""

from typing import Any

import numpy as np
from keras import ops

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
    columns = []
    for name in COLOR_OPERATIONS:
        strength = operations[name]
        is_drawn = ~np.isnan(strength)
        size = np.abs(np.nan_to_num(strength))
        if name == "posterize":
            column = 2.0 ** np.round(size * _LARGEST_LOST_BITS)
        elif name == "solarize":
            column = 256 * (1 - size)
        elif name == "autocontrast":
            column = is_drawn.astype(np.float64)
        else:
            column = 1 + _LARGEST_CHANGE * np.nan_to_num(strength)
        columns.append(column)
    return np.stack(columns, axis=1)


def _blend(images: Any, degenerate: Any, factor: Any) -> Any:
    # In this form a factor of 1 changes no bit: one too few, and posterising would go a step too low.
    return ops.clip(images + (factor - 1.0) * (images - degenerate), 0.0, 255.0)


def _grey(images: Any) -> Any:
    # Not a matrix product: on a GPU its factors would be cut to the ten bits of TF32.
    return ops.sum(images * ops.convert_to_tensor(_LUMA, dtype="float32"), axis=-1, keepdims=True)


def _smoothed(images: Any) -> Any:
    """PIL's smoothing, weights 1 and in the middle 5; the border stays as it is."""
    rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    inner = (sums + 4.0 * images[:, 1:-1, 1:-1]) / 13.0
    inner = ops.concatenate([images[:, 1:-1, :1], inner, images[:, 1:-1, -1:]], axis=2)
    return ops.concatenate([images[:, :1], inner, images[:, -1:]], axis=1)


def change_color(images: Any, color: Any) -> Any:
    """Changes the colours of each image.

    Args:
        images: [N, H, W, 3] float32, pixel values 0–255; H and W at least 3.
        color: [N, 7] float32, as `draw_color` says.

    Returns:
        The same shape and range.
    """
    brightness, contrast, saturation, sharpness, step, threshold, stretch = (
        color[:, index][:, None, None, None] for index in range(len(COLOR_OPERATIONS))
    )
    images = ops.clip(images * brightness, 0.0, 255.0)
    mean = ops.mean(_grey(images), axis=(1, 2), keepdims=True)
    images = _blend(images, mean, contrast)
    images = _blend(images, _grey(images), saturation)
    images = _blend(images, _smoothed(images), sharpness)
    images = ops.where(step > 1.0, ops.floor(images / step) * step, images)
    images = ops.where(images >= threshold, 255.0 - images, images)
    lowest = ops.min(images, axis=(1, 2), keepdims=True)
    highest = ops.max(images, axis=(1, 2), keepdims=True)
    # A channel of one value has no contrast to stretch but that of rounding.
    can_stretch = ops.logical_and(stretch > 0.5, highest - lowest > _LEAST_CONTRAST)
    scale = 255.0 / ops.where(can_stretch, highest - lowest, 1.0)
    return ops.where(can_stretch, (images - lowest) * scale, images)
