"""What the baselines begin with: the Keras model, and training images from which ranges come."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vitsd_export.sources.checkpoint import LoadedModel

_CALIBRATION_IMAGES = 128


def load_keras(source: str | Path) -> "LoadedModel":
    """Loads a model, as `vitsd-export --model` takes it, on Keras's TensorFlow backend.

    Raises:
        InputError: If it cannot be used.
    """
    from vitsd_export._internal.tensorflow import use_tensorflow

    use_tensorflow()
    from vitsd_export.sources.checkpoint import load_model

    return load_model(source)


def calibration_images(size: int, num_classes: int) -> Iterator[np.ndarray]:
    """Yields bundled training images one by one, [1, size, size, 3] float32.

    Args:
        size: Height and width, in pixels.
        num_classes: Number of the model's classes: CIFAR-10's sample fits 10.
    """
    from vitsd_export.data.labels import default_labels
    from vitsd_export.data.sample import SAMPLE, choose_images
    from vitsd_export.data.sources import load_images

    chosen = choose_images(SAMPLE, default_labels(num_classes))
    images = load_images(chosen, split="train", size=size).images[:_CALIBRATION_IMAGES]
    return (image[None] for image in images.astype(np.float32))
