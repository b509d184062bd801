"""Training images from which the peers' ranges come."""

from collections.abc import Iterator

import numpy as np

_IMAGES = 128


def calibration_images(size: int) -> Iterator[np.ndarray]:
    """Yields bundled training images one by one, [1, size, size, 3] float32.

    Args:
        size: Height and width, in pixels.
    """
    from vitsd_export.data.sources import load_images

    images = load_images("sample", split="train", size=size).images[:_IMAGES]
    return (image[None] for image in images.astype(np.float32))
