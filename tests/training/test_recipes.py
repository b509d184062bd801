"""The recipes and their reader."""

import dataclasses
import json

import pytest

from training.recipes import OptimizerRecipe, load_recipe, recipe_names
from vitsd_export.errors import UsageError


def test_published_carries_the_published_hyperparameters() -> None:
    recipe = load_recipe("published")
    assert recipe.epochs == 50
    assert recipe.batch_size == 256
    assert recipe.optimizer.learning_rate == 1e-3
    assert recipe.optimizer.weight_decay == 1e-4
    # A tenth of the run, as in the example's own schedule.
    assert recipe.optimizer.warmup_epochs == 5
    assert recipe.loss.label_smoothing == 0
    augmentation = recipe.augmentation
    assert (augmentation.flip, augmentation.rotation, augmentation.zoom) == (True, 0.02, 0.2)


def test_every_recipe_is_read_and_can_be_written_down() -> None:
    assert {"light", "published"} <= set(recipe_names())
    for name in recipe_names():
        fields = json.loads(json.dumps(load_recipe(name).to_dict()))
        assert fields["optimizer"]["learning_rate"] > 0
        assert set(fields) == {
            "epochs",
            "batch_size",
            "validation_images",
            "optimizer",
            "loss",
            "augmentation",
        }


@pytest.mark.parametrize("name", ["heavy", "", "../light", "light.toml", "__init__"])
def test_an_unknown_recipe_fails_and_names_those_there_are(name: str) -> None:
    with pytest.raises(UsageError, match=r"no recipe .*light, published"):
        load_recipe(name)


@pytest.mark.parametrize("learning_rate", [0.0, -1e-3, float("nan"), float("inf")])
def test_a_learning_rate_that_cannot_train_fails(learning_rate: float) -> None:
    optimizer = load_recipe("light").optimizer
    with pytest.raises(UsageError, match="learning rate must be positive"):
        dataclasses.replace(optimizer, learning_rate=learning_rate)
    assert isinstance(optimizer, OptimizerRecipe)
