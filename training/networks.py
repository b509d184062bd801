"""The networks that can be trained: vision transformers, and a residual network that teaches them."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import keras

from training.folded_attention import attention_layer
from training.presets import Config, ResidualConfig
from training.recipes.schema import RegularizationRecipe
from vitsd_export.model.classifier import NORMALIZATION, build_classifier
from vitsd_export.sources.checkpoint import write_archive, write_model


def build_for_training(config: Config, regularization: RegularizationRecipe) -> keras.Model:
    """Builds the network in the form that trains fastest; the weights are those of `build_for_inference`."""
    if isinstance(config, ResidualConfig):
        return build_residual(config)
    dropped = dataclasses.replace(
        config,
        attention_dropout=config.attention_dropout * regularization.block_dropout,
        mlp_dropout=config.mlp_dropout * regularization.block_dropout,
        head_dropout=config.head_dropout * regularization.head_dropout,
    )
    return build_classifier(
        dropped, drop_path=regularization.drop_path, attention=attention_layer(config)
    )


def build_for_inference(config: Config) -> keras.Model:
    """Builds the network that is validated, kept and exported."""
    if isinstance(config, ResidualConfig):
        return build_residual(config)
    return build_classifier(config)


def write_network(model: keras.Model, config: Config, path: Path, card: dict[str, Any]) -> str:
    """Writes a trained network with its card as a .keras file; returns the file's SHA-256."""
    if isinstance(config, ResidualConfig):
        return write_archive(model, path, card)
    return write_model(model, config, path, card)


def build_residual(config: ResidualConfig) -> keras.Model:
    """Builds a residual network.

    Input `image`: [batch, input_size, input_size, 3] float32, RGB pixels 0–255.
    Output `logits`: [batch, num_classes] float32.
    """
    layers = keras.layers
    convolution = functools.partial(
        layers.Conv2D, kernel_size=3, padding="same", use_bias=False, kernel_initializer="he_normal"
    )

    def block(x: Any, width: int, name: str) -> Any:
        x = convolution(width, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    def residual(x: Any, width: int, name: str) -> Any:
        branch = block(block(x, width, f"{name}_a"), width, f"{name}_b")
        return layers.Add(name=f"{name}_add")([x, branch])

    image = keras.Input((config.input_size, config.input_size, 3), name="image")
    x = layers.Normalization(name=NORMALIZATION)(image)
    x = block(x, config.widths[0], "level0")
    for index, width in enumerate(config.widths[1:], start=1):
        x = layers.MaxPooling2D(name=f"level{index}_pool")(block(x, width, f"level{index}"))
        if index != 2:
            x = residual(x, width, f"level{index}_residual")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    logits = layers.Dense(config.num_classes, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name="classifier")
