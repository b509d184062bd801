"""Models of the package's architecture that are built and run in a moment."""

from typing import Any

import keras
import numpy as np

from vitsd_export.model.classifier import build_classifier, set_normalization
from vitsd_export.model.config import ModelConfig

_SMALL: dict[str, Any] = {
    "input_size": 8,
    "image_size": 8,
    "patch_size": 4,
    "dim": 8,
    "num_heads": 2,
    "key_dim": 6,
    "depth": 1,
    "mlp_units": (12, 8),
    "attention_dropout": 0.0,
    "mlp_dropout": 0.0,
    "head": "mean",
    "head_units": (),
    "head_dropout": 0.0,
    "num_classes": 3,
}


def small_config(**changes: Any) -> ModelConfig:
    """A configuration of 8×8 images, four tokens and three classes, with changes."""
    return ModelConfig(**{**_SMALL, **changes})


def set_random_weights(model: keras.Model, seed: int = 0) -> None:
    """Gives every weight a value of its own, those too that start as zeros or ones."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        noise = rng.normal(0, 0.2, weight.shape)
        if weight.name in ("gamma", "tau"):
            noise = 1 + np.abs(noise)
        elif weight.name == "kernel":
            noise = rng.normal(0, weight.shape[0] ** -0.5, weight.shape)
        weight.assign(noise.astype(np.float32))
    set_normalization(model, rng.uniform(90, 150, 3), rng.uniform(3000, 6000, 3))


def build_small(**changes: Any) -> keras.Model:
    """A model of `small_config(**changes)` with random weights and normalisation."""
    model = build_classifier(small_config(**changes))
    set_random_weights(model)
    return model


def random_pixels(count: int, size: int, seed: int = 0) -> np.ndarray:
    """[count, size, size, 3] float32 pixels 0–255."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, size, size, 3)).astype(np.float32)
