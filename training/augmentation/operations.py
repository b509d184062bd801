"""Which operations are drawn for which image, and how strongly, in the manner of RandAugment."""

import numpy as np

GEOMETRIC_OPERATIONS = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
COLOR_OPERATIONS = (
    "brightness",
    "contrast",
    "saturation",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
)
# RandAugment's set (arXiv:1909.13719, appendix) but for `equalize`: it would need a histogram an image.
OPERATIONS = ("identity", *GEOMETRIC_OPERATIONS, *COLOR_OPERATIONS)


def draw_operations(
    count: int, magnitude: float, images: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draws `count` different operations, maybe 0, for each image, and a strength for each of them.

    Returns:
        By operation, [images] floats: its strength drawn evenly from 0 to `magnitude`, and with even odds
        negative; NaN where it is not drawn. Empty if `count` is 0.
    """
    if not count:
        return {}
    order = rng.permuted(np.tile(np.arange(len(OPERATIONS)), (images, 1)), axis=1)
    strength = rng.uniform(-magnitude, magnitude, (images, len(OPERATIONS)))
    drawn = np.full((images, len(OPERATIONS)), np.nan)
    rows = np.arange(images)[:, None]
    drawn[rows, order[:, :count]] = strength[rows, order[:, :count]]
    return {name: drawn[:, column] for column, name in enumerate(OPERATIONS) if name != "identity"}
