"""Training recipes: every hyperparameter of a run, as a TOML file beside this module."""

import dataclasses
import tomllib
from importlib import resources
from typing import Any

from training.augmentation import Augmentation
from vitsd_export.errors import UsageError


@dataclasses.dataclass(frozen=True)
class OptimizerRecipe:
    """AdamW (arXiv:1711.05101) with linear warm-up and cosine decay to zero.

    Attributes:
        learning_rate: Peak learning rate, reached at the end of warm-up.
        weight_decay: Decoupled weight decay; not applied to biases, norms, positions and τ.
        clip_norm: Limit of the gradients' global norm; 0 for none.
        warmup_epochs: Epochs over which the learning rate rises from 0.
    """

    learning_rate: float
    weight_decay: float
    clip_norm: float
    warmup_epochs: float

    def __post_init__(self) -> None:
        # Written so that NaN fails too.
        if not 0 < self.learning_rate < float("inf"):
            raise UsageError(
                f"The learning rate must be positive and finite, not {self.learning_rate}."
            )


@dataclasses.dataclass(frozen=True)
class LossRecipe:
    """Cross-entropy.

    Attributes:
        label_smoothing: Mass moved from the label to all classes, evenly.
    """

    label_smoothing: float


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run but the model, the data and the seed.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images in a step.
        validation_images: Training images held out for the log's validation columns.
        optimizer: Optimizer and learning-rate schedule.
        loss: Loss function.
        augmentation: Random changes to the training images.
    """

    epochs: int
    batch_size: int
    validation_images: int
    optimizer: OptimizerRecipe
    loss: LossRecipe
    augmentation: Augmentation

    def to_dict(self) -> dict[str, Any]:
        """Returns the recipe as nested dicts of plain values."""
        return dataclasses.asdict(self)


def recipe_names() -> list[str]:
    """Returns the names `load_recipe` accepts."""
    files = resources.files(__package__).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_recipe(name: str) -> Recipe:
    """Reads a recipe by name.

    Args:
        name: Name of a TOML file beside this module, without its suffix.

    Raises:
        UsageError: If there is no such recipe.
    """
    if name not in recipe_names():
        raise UsageError(f"There is no recipe {name!r}. Recipes: {', '.join(recipe_names())}.")
    text = (resources.files(__package__) / f"{name}.toml").read_text(encoding="utf-8")
    fields = tomllib.loads(text)
    return Recipe(
        **{
            **fields,
            "optimizer": OptimizerRecipe(**fields["optimizer"]),
            "loss": LossRecipe(**fields["loss"]),
            "augmentation": Augmentation(**fields["augmentation"]),
        }
    )
