"""MixUp (arXiv:1710.09412) and CutMix (arXiv:1905.04899), an own share for each image.

The partner of an image is its neighbour in the batch, 0 with 1, 2 with 3: the order of the images is
random already, nothing needs to be gathered, and the devices that share a batch exchange no pixels.
"""

import numpy as np

from training.augmentation.erasing import inside
from training.recipes import MixingRecipe


def draw_mixing(
    recipe: MixingRecipe, count: int, size: int, rng: np.random.Generator, *, is_on: bool
) -> dict[str, np.ndarray]:
    """Draws how much of its partner each of `count` images of `size` pixels gets; nothing unless `is_on`.

    Returns:
        `mixed_box` [count, 4] (top, left, first row and column beyond), where the partner's pixels are
        taken; `pixel_share` [count], the image's own share of the others; `label_share` [count], its share
        of the label.
    """
    mixed = rng.random(count) < (recipe.probability if is_on else 0.0)
    is_cut = mixed & (rng.random(count) < recipe.cutmix_share)
    share = np.where(
        is_cut,
        rng.beta(recipe.cutmix_alpha, recipe.cutmix_alpha, count),
        rng.beta(recipe.mixup_alpha, recipe.mixup_alpha, count),
    )
    # As in the paper: a square about a random pixel, cut at the border; its area then decides on the label.
    half = np.sqrt(1 - share) * size / 2
    y, x = rng.integers(0, size, (2, count))
    corners = [np.round(c).clip(0, size) for c in (y - half, x - half, y + half, x + half)]
    boxes = np.where(is_cut[:, None], np.stack(corners, axis=1), 0.0)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    pixel_share = np.where(mixed & ~is_cut, share, 1.0)
    return {
        "mixed_box": boxes,
        "pixel_share": pixel_share,
        "label_share": np.where(is_cut, 1 - area / size**2, pixel_share),
    }


def _partners(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 2, *values.shape[1:])[:, ::-1].reshape(values.shape)


def mix(
    images: np.ndarray,
    labels: np.ndarray,
    boxes: np.ndarray,
    pixel_share: np.ndarray,
    label_share: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Mixes each image [N, size, size, C] and its label [N, classes] with those of its neighbour.

    N is even. Boxes [N, 4] and shares [N] are what `draw_mixing` returns.
    """
    own = np.where(inside(boxes, images.shape[1]), 0, pixel_share[:, None, None, None])
    share = label_share[:, None]
    partners, other_labels = _partners(images), _partners(labels)
    return partners + own * (images - partners), other_labels + share * (labels - other_labels)
