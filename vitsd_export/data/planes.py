"""The order of the pixels in CIFAR's own files."""

import numpy as np

SIZE = 32
NUM_PIXELS = 3 * SIZE * SIZE


def images_from_planes(rows: np.ndarray) -> np.ndarray:
    """Returns the images of rows which hold the red plane, then the green, then the blue.

    Args:
        rows: [N, 3072] uint8.

    Returns:
        [N, 32, 32, 3] uint8.
    """
    return np.ascontiguousarray(rows.reshape(-1, 3, SIZE, SIZE).transpose(0, 2, 3, 1))
