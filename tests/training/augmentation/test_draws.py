"""The random numbers of an epoch."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.augmentation_references import quick, seeds
from tests.support.training_parts import LIVELY, RECIPE
from training.augmentation.draws import Draws, draw_epoch
from training.recipes import AugmentationRecipe, MixingRecipe, Recipe

PLAIN = dataclasses.replace(RECIPE, augmentation=AugmentationRecipe(), mixing=MixingRecipe())
MIXED = ("mixed_box", "pixel_share", "label_share")
WIDTHS = {"matrix": (2, 3), "color": (7,), "erased_box": (4,), "erased_color": (3,)}
WIDTHS |= {"index": (), "mixed_box": (4,), "pixel_share": (), "label_share": ()}


def augmenting(**changes: float) -> Recipe:
    return dataclasses.replace(PLAIN, augmentation=AugmentationRecipe(**changes))  # type: ignore[arg-type]


def draw(recipe: Recipe, *, count: int = 40, seed: int = 0, epoch: int = 0) -> Draws:
    return draw_epoch(recipe, count=count, size=8, seed=seed, epoch=epoch)


@quick
@given(seed=seeds, epoch=st.integers(0, 1000))
def test_seed_and_epoch_decide_everything(seed: int, epoch: int) -> None:
    recipe = dataclasses.replace(LIVELY, epochs=2000)
    first = draw(recipe, seed=seed, epoch=epoch)
    np.random.seed(epoch)
    again = draw(recipe, seed=seed, epoch=epoch)
    assert first.keys() == again.keys() == WIDTHS.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(again[name], array)
    for other_seed, other_epoch in ((seed ^ 1, epoch), (seed, epoch + 1), (seed + 1, epoch - 1)):
        if other_epoch < 0:
            continue
        other = draw(recipe, seed=other_seed, epoch=other_epoch)
        for name in ("index", "matrix", "erased_color"):
            assert (other[name] != first[name]).any(), name


@pytest.mark.parametrize(
    ("recipe", "names"),
    [
        (PLAIN, ()),
        (augmenting(flip=True), ("matrix",)),
        (augmenting(crop_padding=2), ("matrix",)),
        (augmenting(rotation=0.1), ("matrix",)),
        (augmenting(zoom=0.1), ("matrix",)),
        (augmenting(operations=1), ("matrix", "color")),
        (augmenting(erasing=0.5), ("erased_box", "erased_color")),
        (dataclasses.replace(PLAIN, mixing=MixingRecipe(probability=0.5)), MIXED),
        (LIVELY, ("matrix", "color", "erased_box", "erased_color", *MIXED)),
    ],
)
@pytest.mark.parametrize("count", [0, 7, 8, 43])
def test_what_the_recipe_asks_is_drawn_for_every_image_of_a_full_batch(
    recipe: Recipe, names: tuple[str, ...], count: int
) -> None:
    drawn = draw(recipe, count=count)
    assert set(drawn) == {"index", *names}
    for name, array in drawn.items():
        assert array.shape == (count // 8, 8, *WIDTHS[name])
        assert array.dtype == (np.int32 if name == "index" else np.float32)
        assert np.isfinite(array).all()
        assert array.flags.c_contiguous


@quick
@given(count=st.integers(0, 100), batch=st.integers(1, 20), seed=seeds)
def test_each_image_comes_at_most_once_an_epoch(count: int, batch: int, seed: int) -> None:
    recipe = dataclasses.replace(PLAIN, batch_size=batch)
    index = draw(recipe, count=count, seed=seed)["index"].ravel().tolist()
    assert len(index) == len(set(index)) == count - count % batch
    assert set(index) <= set(range(count))


def test_the_order_is_another_one_each_epoch_and_no_image_is_always_left_out() -> None:
    orders = [draw(PLAIN, count=47, epoch=epoch)["index"].ravel() for epoch in range(20)]
    assert len({order.tobytes() for order in orders}) == 20
    assert set(np.concatenate(orders)) == set(range(47))
    # Nor does an image keep its place.
    assert len({int(order[0]) for order in orders}) > 10


@pytest.mark.parametrize(("epochs", "off_epochs"), [(5, 0), (5, 2), (5, 5), (3, 7)])
def test_nothing_is_mixed_in_the_last_epochs(epochs: int, off_epochs: int) -> None:
    recipe = dataclasses.replace(
        PLAIN, epochs=epochs, mixing=MixingRecipe(probability=1.0, off_epochs=off_epochs)
    )
    mixed = [
        bool((draw(recipe, count=80, epoch=epoch)["label_share"] < 1).any())
        for epoch in range(epochs)
    ]
    is_on = max(epochs - off_epochs, 0)
    assert mixed == [True] * is_on + [False] * (epochs - is_on)
    last = draw(recipe, count=80, epoch=epochs - 1)
    if off_epochs:
        assert (last["pixel_share"] == 1).all()
        assert not last["mixed_box"].any()


def test_images_are_erased_as_often_as_the_recipe_says() -> None:
    drawn = draw(augmenting(erasing=0.3), count=8000)
    is_erased = drawn["erased_box"].any(axis=-1)
    assert is_erased.mean() == pytest.approx(0.3, abs=0.03)
    colors = drawn["erased_color"].ravel()
    tenths = np.histogram(colors, bins=10, range=(0, 255))[0] / colors.size
    np.testing.assert_allclose(tenths, 0.1, atol=0.01)


@pytest.mark.parametrize(
    ("changes", "moves"),
    [
        ({}, False),
        ({"erasing": 1.0}, False),
        ({"flip": True}, True),
        ({"crop_padding": 1}, True),
        ({"rotation": 0.1}, True),
        ({"zoom": 0.1}, True),
        ({"operations": 1}, True),
    ],
)
def test_pixels_move_where_the_recipe_moves_them(changes: dict[str, float], moves: bool) -> None:
    assert ("matrix" in draw(augmenting(**changes), count=80)) is moves
