"""Rectangles painted over, against a loop over pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.augmentation_references import floats, quick, random_images, seeds, sizes
from training.augmentation.erasing import draw_boxes, erase


@quick
@given(count=st.integers(0, 20), size=st.integers(1, 40), seed=seeds)
def test_a_box_lies_inside_the_image_and_is_empty_where_nothing_is_erased(
    count: int, size: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    erased = rng.random(count) < 0.5
    boxes = draw_boxes(erased, size, rng)
    assert boxes.shape == (count, 4)
    for is_erased, (top, left, bottom, right) in zip(erased, boxes, strict=True):
        assert all(float(edge).is_integer() for edge in (top, left, bottom, right))
        if is_erased:
            assert 0 <= top < bottom <= size
            assert 0 <= left < right <= size
        else:
            assert (top, left, bottom, right) == (0, 0, 0, 0)


def test_areas_and_shapes_are_those_of_the_paper() -> None:
    """Where the image is large enough for rounding and cutting to be small."""
    size, count = 400, 4000
    top, left, bottom, right = draw_boxes(np.ones(count, bool), size, np.random.default_rng(0)).T
    height, width = bottom - top, right - left
    areas = height * width / size**2
    assert areas.min() > 0.019
    assert areas.max() < 0.401
    is_whole = (height < size) & (width < size)
    ratios = (height / width)[is_whole]
    assert ratios.min() > 0.29
    assert ratios.max() < 1 / 0.29
    # Cutting takes from the largest only; below them areas are drawn evenly, and lie nor stand more often.
    assert (areas < 0.115).mean() == pytest.approx(0.25, abs=0.04)
    assert (height > width).mean() == pytest.approx(0.5, abs=0.04)


def test_a_box_lies_equally_often_everywhere_it_can() -> None:
    size = 6
    top, left, bottom, right = draw_boxes(np.ones(20_000, bool), size, np.random.default_rng(0)).T
    for start, end in ((top, bottom), (left, right)):
        for length in range(1, size + 1):
            starts = start[end - start == length]
            assert len(starts) > 300
            shares = np.bincount(starts.astype(int), minlength=size) / len(starts)
            places = size - length + 1
            np.testing.assert_allclose(shares[:places], 1 / places, atol=0.08)
            assert not shares[places:].any()


@quick
@given(count=st.integers(0, 4), size=sizes, seed=seeds)
def test_a_box_is_painted_and_nothing_else(count: int, size: int, seed: int) -> None:
    images = random_images(count, size, seed)
    original = images.copy()
    images.flags.writeable = False
    rng = np.random.default_rng(seed)
    boxes = np.sort(rng.integers(0, size + 1, (count, 2, 2)), axis=1).reshape(count, 4)
    colors = rng.integers(0, 256, (count, 3)).astype(np.float32)
    expected = images.copy()
    for index in range(count):
        top, left, bottom, right = boxes[index]
        for row in range(top, bottom):
            for column in range(left, right):
                expected[index, row, column] = colors[index]
    result = erase(images, floats(boxes), colors)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(images, original)
