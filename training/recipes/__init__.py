"""Training recipes: every hyperparameter of a run, as a TOML file beside this module or of one's own."""

from training.recipes.files import load_recipe, recipe_description, recipe_names, with_changes
from training.recipes.schema import (
    AugmentationRecipe,
    DistillationRecipe,
    LossRecipe,
    MixingRecipe,
    OptimizerRecipe,
    Recipe,
    RegularizationRecipe,
    Stage,
    field_types,
)

__all__ = [
    "AugmentationRecipe",
    "DistillationRecipe",
    "LossRecipe",
    "MixingRecipe",
    "OptimizerRecipe",
    "Recipe",
    "RegularizationRecipe",
    "Stage",
    "field_types",
    "load_recipe",
    "recipe_description",
    "recipe_names",
    "with_changes",
]
