"""Changes of colour, against PIL and against a loop over pixels in double precision."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from tests.support.augmentation_references import floats, quick, random_images, seeds, sizes
from training.augmentation.color import change_color, draw_color
from training.augmentation.operations import COLOR_OPERATIONS

NEUTRAL = (1.0, 1.0, 1.0, 1.0, 1.0, 256.0, 0.0)
"""Brightness, contrast, saturation, sharpness, step, threshold, stretch."""


def color_of(**numbers: float) -> np.ndarray:
    """Returns one image's numbers: these, and for the others such as change nothing."""
    return np.array([[numbers.get(n, v) for n, v in zip(COLOR_OPERATIONS, NEUTRAL, strict=True)]])


def drawn(**strengths: float) -> np.ndarray:
    """Returns the numbers of one image of whose operations these are drawn."""
    operations = {name: np.array([strengths.get(name, math.nan)]) for name in COLOR_OPERATIONS}
    return draw_color(operations)[0]


def change(images: np.ndarray, color: np.ndarray) -> np.ndarray:
    changed = change_color(images, floats(color))
    assert changed.dtype == np.float32
    return changed


def test_what_is_not_drawn_changes_no_bit() -> None:
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (50, 8, 8, 3)).astype(np.float32)
    images[0], images[1] = 0, 255
    neutral = np.repeat(drawn()[None], 50, axis=0)
    np.testing.assert_array_equal(neutral[0], NEUTRAL)
    np.testing.assert_array_equal(change(images, neutral), images)


@pytest.mark.parametrize(
    ("name", "strength", "expected"),
    [
        *((name, 1.0, 1.9) for name in COLOR_OPERATIONS[:4]),
        *((name, -1.0, 0.1) for name in COLOR_OPERATIONS[:4]),
        *((name, 0.0, 1.0) for name in COLOR_OPERATIONS[:4]),
        ("posterize", 1.0, 16),
        ("posterize", -0.5, 4),
        ("posterize", 0.0, 1),
        ("solarize", 1.0, 0),
        ("solarize", -0.5, 128),
        ("solarize", 0.0, 256),
        ("autocontrast", 1.0, 1),
        ("autocontrast", 0.0, 1),
    ],
)
def test_a_strength_becomes_its_number_alone(name: str, strength: float, expected: float) -> None:
    numbers = dict(zip(COLOR_OPERATIONS, drawn(**{name: strength}), strict=True))
    neutral = dict(zip(COLOR_OPERATIONS, NEUTRAL, strict=True))
    assert numbers == pytest.approx({**neutral, name: expected})


def enhanced(enhancer: type[ImageEnhance._Enhance]) -> Callable[[Image.Image, float], Image.Image]:
    return lambda image, factor: enhancer(image).enhance(factor)


# What PIL's rounding to whole numbers, of the mean, the grey or the smoothed image too, may change.
@pytest.mark.parametrize(
    ("name", "numbers", "by_pil", "tolerance"),
    [
        ("brightness", (0.1, 0.7, 1.3, 1.9), enhanced(ImageEnhance.Brightness), 1.01),
        ("contrast", (0.1, 0.7, 1.3, 1.9), enhanced(ImageEnhance.Contrast), 2.01),
        ("saturation", (0.1, 0.7, 1.3, 1.9), enhanced(ImageEnhance.Color), 2.01),
        ("sharpness", (0.1, 0.7, 1.3, 1.9), enhanced(ImageEnhance.Sharpness), 1.51),
        (
            "posterize",
            (2, 4, 8, 16),
            lambda image, step: ImageOps.posterize(image, 8 - round(math.log2(step))),
            0,
        ),
        ("solarize", (0, 1, 100, 255), ImageOps.solarize, 0),
        ("autocontrast", (1,), lambda image, _: ImageOps.autocontrast(image), 1.01),
    ],
)
def test_one_change_is_that_of_pil(
    name: str,
    numbers: tuple[float, ...],
    by_pil: Callable[[Image.Image, float], Image.Image],
    tolerance: float,
) -> None:
    images = random_images(5, 16, seed=1)
    # Little contrast, for which stretching is much; one colour; black; smooth.
    images[1] = images[1] // 8 + 100
    images[2] = 40, 200, 90
    images[3] = 0
    images[4] = (np.arange(16) * 16)[None, :, None]
    for number in numbers:
        color = np.repeat(color_of(**{name: number}), len(images), axis=0)
        for image, result in zip(images, change(images, color), strict=True):
            expected = np.asarray(by_pil(Image.fromarray(image.astype(np.uint8)), number), float)
            np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance)


def clip(value: float) -> float:
    return min(max(value, 0.0), 255.0)


def grey(pixel: np.ndarray) -> float:
    return float(0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2])


def blended(image: np.ndarray, degenerate: np.ndarray, factor: float) -> np.ndarray:
    result = np.empty(image.shape)
    for place in np.ndindex(image.shape):
        result[place] = clip(degenerate[place] * (1 - factor) + image[place] * factor)
    return result


def greys(image: np.ndarray) -> np.ndarray:
    result = np.empty(image.shape)
    for place in np.ndindex(image.shape[:2]):
        result[place] = grey(image[place])
    return result


def smoothed(image: np.ndarray) -> np.ndarray:
    result = image.astype(float)
    for row in range(1, len(image) - 1):
        for column in range(1, len(image) - 1):
            total = np.zeros(3)
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    weight = 1 if down or right else 5
                    total += weight * image[row + down, column + right].astype(float)
            result[row, column] = total / 13
    return result


factors = st.floats(0.1, 1.9)


@quick
@given(
    count=st.integers(1, 3),
    size=sizes,
    factor=st.tuples(factors, factors, factors, factors),
    stretch=st.booleans(),
    seed=seeds,
)
def test_changes_follow_each_other(
    count: int, size: int, factor: tuple[float, ...], stretch: bool, seed: int
) -> None:
    brightness, contrast, saturation, sharpness = factor
    images = random_images(count, size, seed)
    color = np.repeat([[*factor, 1.0, 256.0, float(stretch)]], count, axis=0)
    result = change(images, color.reshape(count, 7))
    for index in range(count):
        image = blended(images[index], np.zeros((size, size, 3)), brightness)
        mean = sum(grey(pixel) for row in image for pixel in row) / size**2
        image = blended(image, np.full(image.shape, mean), contrast)
        image = blended(image, greys(image), saturation)
        image = blended(image, smoothed(image), sharpness)
        tolerance = 1e-2
        for channel in range(3) if stretch else ():
            values = image[..., channel]
            low, high = values.min(), values.max()
            if high - low < 0.5:
                continue
            # Rounding is stretched too.
            tolerance = max(tolerance, 1e-3 * 255 / (high - low))
            image[..., channel] = (values - low) * 255 / (high - low)
        np.testing.assert_allclose(result[index], image, rtol=0, atol=tolerance)


def test_posterising_comes_before_inversion_and_stretching_last() -> None:
    image = np.zeros((1, 3, 3, 3), np.float32)
    image[0, 0, :, 0] = 70, 37, 255
    result = change(image, color_of(posterize=16, solarize=65))
    # 64 is below the threshold that 70 is above, 240 becomes 15.
    np.testing.assert_array_equal(result[0, 0, :, 0], [64, 32, 15])
    stretched = change(image, color_of(posterize=16, solarize=65, autocontrast=1))
    np.testing.assert_allclose(stretched[0, 0, :, 0], [255, 127.5, 15 / 64 * 255], atol=1e-3)


@pytest.mark.parametrize("factor", [0.1, 0.3, 1.1, 1.9])
def test_rounding_in_one_colour_is_not_stretched(factor: float) -> None:
    """Smoothing 0.1 and the like gives them back but for the last bit."""
    images = np.repeat(np.linspace(0.1, 254.9, 64, dtype=np.float32), 6 * 6 * 3)
    images = images.reshape(64, 6, 6, 3)
    color = color_of(contrast=factor, saturation=factor, sharpness=factor, autocontrast=1)
    result = change(images, np.repeat(color, 64, axis=0))
    np.testing.assert_allclose(result, images, atol=1e-3)


@quick
@given(
    size=sizes,
    factor=st.tuples(factors, factors, factors, factors),
    step=st.sampled_from([1, 2, 4, 8, 16]),
    threshold=st.floats(0, 256),
    stretch=st.booleans(),
    seed=seeds,
)
def test_the_range_is_kept(
    size: int,
    factor: tuple[float, ...],
    step: int,
    threshold: float,
    stretch: bool,
    seed: int,
) -> None:
    images = random_images(2, size, seed)
    original = images.copy()
    images.flags.writeable = False
    color = np.array([[*factor, step, threshold, stretch]] * 2)
    result = change(images, color)
    assert result.shape == images.shape
    assert result.min() >= 0
    assert result.max() <= 255 + 1e-3
    np.testing.assert_array_equal(images, original)
