"""Training images as the model sees them."""

import numpy as np

from training.augmentation.draws import draw_epoch
from training.augmentation.pipeline import augment
from training.recipes import Recipe
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import InputError

# A smaller share would be shown as 0 %.
_SMALLEST_SHARE = 0.005


def augmented_images(
    recipe: Recipe, data: ImageDataset, count: int, *, seed: int, epoch: int
) -> tuple[np.ndarray, list[str]]:
    """Augments and mixes the first images of an epoch.

    Args:
        recipe: Says what is done to them.
        data: Labelled training images.
        count: Number of images wanted; no more are given than the epoch has.
        seed: Seed of the run.
        epoch: Number of the epoch, from 0.

    Returns:
        Images [count, size, size, 3] float32, 0–255, and for each a caption: its label, or a line for each
        of two with its share.

    Raises:
        InputError: If the data has no labels, or fewer images than a batch of the recipe.
    """
    if data.labels is None:
        raise InputError(f"{data.source} has no labels, which a preview shows.")
    if len(data) < recipe.batch_size:
        raise InputError(
            f"{data.source} has {len(data)} images, fewer than a batch of {recipe.batch_size}. Lower it "
            "with --set batch_size=…"
        )
    size = data.images.shape[1]
    drawn = draw_epoch(recipe, count=len(data), size=size, seed=seed, epoch=epoch)
    # For an odd count one image more: they are mixed in pairs.
    flat = {
        name: array.reshape(-1, *array.shape[2:])[: count + count % 2]
        for name, array in drawn.items()
    }
    index = flat.pop("index")
    one_hot = np.eye(len(data.class_names), dtype=np.float32)[data.labels[index]]
    pixels, labels = augment(data.images[index], one_hot, flat)
    captions = [_caption(row, data.class_names) for row in labels[:count]]
    return pixels[:count], captions


def _caption(shares: np.ndarray, names: tuple[str, ...]) -> str:
    present = [index for index in np.argsort(-shares) if shares[index] > _SMALLEST_SHARE]
    if len(present) == 1:
        return names[present[0]]
    return "\n".join(f"{shares[index]:.0%} {names[index]}" for index in present)
