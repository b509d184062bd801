"""Training images from which the baselines' ranges come."""

from collections.abc import Iterator

import numpy as np

_IMAGES = 128


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
    images = load_images(chosen, split="train", size=size).images[:_IMAGES]
    return (image[None] for image in images.astype(np.float32))
