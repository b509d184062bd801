"""Small Keras models for the tests of everything behind them, and what they answer."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from vitsd_export.pretrained import bundled_path

# The small bundled model. Tests name it, so that what they take does not hang on the default model.
TINY_MODEL = "vit-tiny-cifar10"

CIFAR10_MEAN = np.array([125.3, 123.0, 113.9])
CIFAR10_DEVIATION = np.array([63.0, 62.1, 66.7])
VEHICLES = (0, 1, 8, 9)


def tiny_file() -> Path:
    """The .keras file of the small bundled model."""
    path = bundled_path(TINY_MODEL)
    assert path is not None
    return path


def small_config(**changes: Any) -> Any:
    """Hyperparameters of a vision transformer of some 15,000 weights for images of 32 pixels."""
    from vitsd_export.model.config import ModelConfig

    small: dict[str, Any] = {
        "image_size": 32,
        "patch_size": 8,
        "dim": 16,
        "num_heads": 2,
        "key_dim": 8,
        "depth": 1,
        "mlp_units": (32, 16),
        "attention_dropout": 0.0,
        "mlp_dropout": 0.0,
        "head": "mean",
        "head_units": (),
        "head_dropout": 0.0,
        "num_classes": 10,
    }
    return ModelConfig(**{**small, **changes})


def small_transformer(seed: int = 1, **changes: Any) -> Any:
    """An untrained vision transformer.

    Its logits are spread, so that the class it names does not hang on the last digit.
    """
    import keras

    from vitsd_export.model.classifier import build_classifier, set_normalization

    keras.utils.set_random_seed(seed)
    model = build_classifier(small_config(**changes))
    set_normalization(model, CIFAR10_MEAN, CIFAR10_DEVIATION**2)
    logits = model.get_layer("logits")
    kernel, bias = logits.get_weights()
    logits.set_weights([kernel * 8, bias])
    return model


def write_small_model(path: Path, seed: int = 1, **changes: Any) -> Path:
    """Writes a small transformer to a .keras file, with the usual class names in it."""
    from vitsd_export.data.labels import default_labels
    from vitsd_export.sources.checkpoint import write_model

    config = small_config(**changes)
    labels = list(default_labels(config.num_classes))
    write_model(small_transformer(seed, **changes), config, path, {"labels": labels})
    return path


def convolutional_network() -> Any:
    """A plain Keras network that tells vehicles from animals on features drawn at random.

    Batch normalisation takes its statistics, and least squares the head, from the bundled training
    images.
    """
    import keras

    from vitsd_export.data.sample import load_sample

    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    # The last kernel is large enough to bypass tf2onnx.
    for width in (16, 48, 48):
        x = keras.layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.0)(x)
        x = keras.layers.ReLU()(x)
    features = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
    data = load_sample("calibration")
    pixels = data.images.astype(np.float32)
    for _ in range(3):
        features(pixels, training=True)
    columns = np.column_stack([np.asarray(features(pixels, training=False)), np.ones(len(pixels))])
    wanted = np.where(np.isin(data.labels, VEHICLES), 1.0, -1.0)
    *weights, bias = np.linalg.lstsq(columns, wanted, rcond=None)[0]
    logits = keras.layers.Dense(2, name="logits")
    model = keras.Model(image, logits(keras.layers.Dropout(0.5)(features.output)))
    logits.set_weights(
        [np.array([[-weight, weight] for weight in weights]), np.array([-bias, bias])]
    )
    return model


def loaded(model: Any) -> Any:
    """A model in memory as `load_model` would return it."""
    from vitsd_export.sources.checkpoint import LoadedModel

    digest = hashlib.sha256(b"in memory").hexdigest()
    return LoadedModel(model, "in-memory", Path("in-memory.keras"), digest, {})


def softmax(logits: np.ndarray) -> np.ndarray:
    """The softmax of each row in float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def keras_logits(path: Path, images: np.ndarray) -> np.ndarray:
    """What the Keras model in a file says of uint8 images, as it says it."""
    import keras

    import vitsd_export.model.layers  # noqa: F401  registers the layers

    model = keras.saving.load_model(path, compile=False)
    return np.asarray(model(images.astype(np.float32), training=False))


def keras_probabilities(path: Path, images: np.ndarray) -> np.ndarray:
    """The softmax of what the Keras model in a file says of uint8 images."""
    return softmax(keras_logits(path, images))
