"""The image classifier: raw pixels in, logits out."""

from typing import Any

import keras
import numpy as np

from vitsd_export.model.config import ModelConfig
from vitsd_export.model.layers import (
    BilinearResize,
    LocalitySelfAttention,
    PositionEmbedding,
    ShiftedPatchTokenizer,
)

NORMALIZATION = "normalization"


def _mlp(x: Any, units: tuple[int, ...], dropout: float, name: str) -> Any:
    for index, width in enumerate(units):
        x = keras.layers.Dense(width, activation="gelu", name=f"{name}_dense{index}")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"{name}_dropout{index}")(x)
    return x


def _skipped(branch: Any, rate: float, name: str) -> Any:
    # Dropout whose noise is one number an image is stochastic depth (Huang et al., 2016, arXiv:1603.09382).
    if not rate:
        return branch
    return keras.layers.Dropout(rate, noise_shape=(None, 1, 1), name=name)(branch)


def build_classifier(
    config: ModelConfig,
    name: str = "classifier",
    *,
    drop_path: float = 0.0,
    attention: type[LocalitySelfAttention] = LocalitySelfAttention,
) -> keras.Model:
    """Builds the network of Lee et al. (2021, arXiv:2112.13492) as published on keras.io.

    Input `image`: [batch, input_size, input_size, 3] float32, RGB pixels 0–255.
    Output `logits`: [batch, num_classes] float32.
    Preprocessing (normalisation by channel, bilinear resizing) is inside; augmentation is not.
    The weights are initialised at random and the normalisation is the identity until
    `set_normalization` is called.

    Args:
        config: Architecture.
        name: Name of the model.
        drop_path: Rate at which the last block's branches are skipped for an image while training; rises
            linearly from 0 at the first block. A model made with it has the same weights in the same order.
        attention: Layer of the blocks' attention: one that computes the same function of the same variables.
    """
    epsilon = config.layer_norm_epsilon
    image = keras.Input((config.input_size, config.input_size, 3), name="image")
    x = keras.layers.Normalization(name=NORMALIZATION)(image)
    if config.image_size != config.input_size:
        x = BilinearResize(config.image_size, name="resizing")(x)
    x = ShiftedPatchTokenizer(config.patch_size, config.dim, epsilon, name="tokenizer")(x)
    x = PositionEmbedding(name="positions")(x)
    for index in range(config.depth):
        block = f"block{index}"
        rate = drop_path * index / max(config.depth - 1, 1)
        h = keras.layers.LayerNormalization(epsilon=epsilon, name=f"{block}_attention_norm")(x)
        h = attention(
            config.num_heads, config.key_dim, config.attention_dropout, name=f"{block}_attention"
        )(h)
        h = _skipped(h, rate, f"{block}_attention_drop_path")
        x = keras.layers.Add(name=f"{block}_attention_add")([h, x])
        h = keras.layers.LayerNormalization(epsilon=epsilon, name=f"{block}_mlp_norm")(x)
        h = _mlp(h, config.mlp_units, config.mlp_dropout, f"{block}_mlp")
        h = _skipped(h, rate, f"{block}_mlp_drop_path")
        x = keras.layers.Add(name=f"{block}_mlp_add")([h, x])
    x = keras.layers.LayerNormalization(epsilon=epsilon, name="norm")(x)
    if config.head == "flatten":
        x = keras.layers.Flatten(name="flatten")(x)
    else:
        x = keras.layers.GlobalAveragePooling1D(name="mean")(x)
    if config.head_dropout:
        x = keras.layers.Dropout(config.head_dropout, name="head_dropout")(x)
    x = _mlp(x, config.head_units, config.head_dropout, "head")
    logits = keras.layers.Dense(config.num_classes, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=name)


def set_normalization(model: keras.Model, mean: np.ndarray, variance: np.ndarray) -> None:
    """Sets the statistics by which the model normalises its input.

    Args:
        model: A model made by `build_classifier`.
        mean: [3] mean of each channel, in pixel values 0–255.
        variance: [3] variance of each channel.
    """
    layer = model.get_layer(NORMALIZATION)
    store = {"0": np.float32(mean), "1": np.float32(variance), "2": np.int32(1)}
    layer.load_own_variables(store)
    # The compiled functions hold the old statistics as constants; without them Keras compiles anew.
    model.train_function = model.test_function = model.predict_function = None
