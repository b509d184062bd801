"""Recipe, model and data of runs that take a moment, whatever the backend."""

import dataclasses
from typing import Any

import numpy as np

from training.recipes import AugmentationRecipe, LossRecipe, MixingRecipe, OptimizerRecipe, Recipe
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.model.config import ModelConfig

EPOCHS = 3
STEPS_PER_EPOCH = 4
"""36 of 40 images are trained on, in batches of 8."""

RECIPE = Recipe(
    epochs=EPOCHS,
    batch_size=8,
    validation_images=4,
    optimizer=OptimizerRecipe(
        learning_rate=3e-3,
        weight_decay=0.01,
        clip_norm=1.0,
        warmup_epochs=1.25,
        ema_decay=0.5,
    ),
    loss=LossRecipe(label_smoothing=0.1),
    augmentation=AugmentationRecipe(flip=True, crop_padding=1),
    mixing=MixingRecipe(probability=0.5, off_epochs=1),
)


LIVELY = dataclasses.replace(
    RECIPE,
    epochs=2,
    augmentation=AugmentationRecipe(
        flip=True, crop_padding=1, rotation=0.1, zoom=0.1, operations=2, erasing=0.5
    ),
)
"""Pixels are interpolated, colours changed, images erased and mixed."""


def small_config(dropout: float = 0.0, **changes: Any) -> ModelConfig:
    """A model of 8×8 images in three classes."""
    options: dict[str, Any] = {
        "input_size": 8,
        "image_size": 8,
        "patch_size": 4,
        "dim": 8,
        "num_heads": 2,
        "key_dim": 4,
        "depth": 1,
        "mlp_units": (12, 8),
        "attention_dropout": dropout,
        "mlp_dropout": dropout,
        "head": "mean",
        "head_units": (),
        "head_dropout": dropout,
        "num_classes": 3,
    }
    return ModelConfig(**{**options, **changes})


def small_data(count: int = 40, *, size: int = 8, classes: int = 3, seed: int = 0) -> ImageDataset:
    """Random images whose brightness tells their class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = rng.integers(0, 100, (count, size, size, 3)) + 50 * labels[:, None, None, None]
    names = tuple("abcdefghij"[:classes])
    return ImageDataset(images.astype(np.uint8), labels, names, "random", "train", "random images")


def with_optimizer(**changes: Any) -> Recipe:
    """`RECIPE` with another optimizer."""
    return dataclasses.replace(RECIPE, optimizer=dataclasses.replace(RECIPE.optimizer, **changes))
