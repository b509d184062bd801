"""Which operations are drawn, how often and how strongly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.augmentation_references import quick, seeds
from training.augmentation.operations import OPERATIONS, draw_operations
from training.recipes import AugmentationRecipe
from vitsd_export.errors import UsageError


def test_none_are_drawn_when_none_are_asked_for() -> None:
    assert draw_operations(0, 1.0, 5, np.random.default_rng(0)) == {}


@quick
@given(
    count=st.integers(1, len(OPERATIONS)),
    magnitude=st.floats(0, 1),
    images=st.integers(0, 20),
    seed=seeds,
)
def test_each_image_gets_that_many_different_ones_up_to_the_magnitude(
    count: int, magnitude: float, images: int, seed: int
) -> None:
    drawn = draw_operations(count, magnitude, images, np.random.default_rng(seed))
    assert set(drawn) == set(OPERATIONS) - {"identity"}
    for image in range(images):
        strengths = [values[image] for values in drawn.values() if values[image] == values[image]]
        # The identity is drawn with the others, and is no change.
        assert len(strengths) in (count - 1, count)
        assert all(abs(strength) <= magnitude for strength in strengths)


def test_all_are_drawn_equally_often_both_ways_and_evenly() -> None:
    images, count = 13_000, 3
    drawn = draw_operations(count, 0.8, images, np.random.default_rng(0))
    for values in drawn.values():
        strengths = values[~np.isnan(values)]
        assert len(strengths) == pytest.approx(images * count / len(OPERATIONS), rel=0.1)
        assert (strengths < 0).mean() == pytest.approx(0.5, abs=0.05)
        below = [(np.abs(strengths) < limit).mean() for limit in (0.2, 0.4, 0.6, 0.8)]
        np.testing.assert_allclose(below, [0.25, 0.5, 0.75, 1], atol=0.05)


def test_images_draw_apart() -> None:
    drawn = draw_operations(2, 1.0, 500, np.random.default_rng(0))
    pairs = {
        tuple(name for name, values in drawn.items() if not np.isnan(values[image]))
        for image in range(500)
    }
    # 66 pairs of twelve, and twelve with the identity.
    assert len(pairs) > 60


def test_a_recipe_may_ask_for_all_that_change_something_and_for_no_more() -> None:
    largest = len(OPERATIONS) - 1
    assert AugmentationRecipe(operations=largest).operations == largest
    with pytest.raises(UsageError, match=f"at most {largest}"):
        AugmentationRecipe(operations=largest + 1)
