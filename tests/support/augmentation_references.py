"""What the tests of augmentation share: images, settings, and the mirroring at the border."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

quick = settings(max_examples=25, deadline=None, derandomize=True)
sizes = st.integers(3, 7)
seeds = st.integers(0, 2**32 - 1)


def random_images(count: int, size: int, seed: int) -> np.ndarray:
    """Returns [count, size, size, 3] float32 with whole numbers from 0 to 255."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, size, size, 3)).astype(np.float32)


def floats(array: ArrayLike) -> np.ndarray:
    """Returns the array as float32: so `draw_epoch` gives what is drawn."""
    return np.asarray(array, np.float32)


def reflect(index: int, size: int) -> int:
    """Mirrors at the outer edge of the border pixels: … 1 0 | 0 1 …"""
    while not 0 <= index < size:
        index = -1 - index if index < 0 else 2 * size - 1 - index
    return index
