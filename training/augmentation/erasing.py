"""Random erasing (Zhong et al., 2017, arXiv:1708.04896): a rectangle in one colour."""

import numpy as np

# The paper's ranges: share of the image's area, and height by width.
_SMALLEST_AREA, _LARGEST_AREA = 0.02, 0.4
_SMALLEST_RATIO = 0.3


def draw_boxes(erased: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draws a rectangle for each image of `size` pixels, an empty one where `erased`, [N] bool, is false.

    Returns:
        [N, 4] float64: top, left, and the first row and column beyond, in whole pixels.
    """
    count = len(erased)
    area = rng.uniform(_SMALLEST_AREA, _LARGEST_AREA, count) * size * size
    ratio = np.exp(rng.uniform(np.log(_SMALLEST_RATIO), -np.log(_SMALLEST_RATIO), count))
    # The paper draws again what does not fit; here it is cut to the image.
    height = np.clip(np.round(np.sqrt(area * ratio)), 1, size)
    width = np.clip(np.round(np.sqrt(area / ratio)), 1, size)
    top = np.floor(rng.random(count) * (size - height + 1))
    left = np.floor(rng.random(count) * (size - width + 1))
    boxes = np.stack([top, left, top + height, left + width], axis=1)
    return np.where(erased[:, None], boxes, 0.0)


def inside(boxes: np.ndarray, size: int) -> np.ndarray:
    """Tells which pixels lie in each image's rectangle of boxes [N, 4]: [N, size, size, 1] bool."""
    steps = np.arange(size)
    top, left, bottom, right = boxes.T[..., None]
    rows = (steps >= top) & (steps < bottom)
    columns = (steps >= left) & (steps < right)
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def erase(images: np.ndarray, boxes: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Paints over each image's rectangle: images [N, size, size, C], boxes [N, 4], colours [N, C]."""
    return np.where(inside(boxes, images.shape[1]), colors[:, None, None, :], images)
