"""The random numbers of an epoch: for each image, what is done to it."""

import numpy as np

from training.augmentation.color import draw_color
from training.augmentation.erasing import draw_boxes
from training.augmentation.geometry import draw_matrices
from training.augmentation.mixing import draw_mixing
from training.augmentation.operations import draw_operations
from training.recipes import Recipe

Draws = dict[str, np.ndarray]
"""By name, an array [steps, batch, ...]; `index` says which image is where."""


def draw_epoch(recipe: Recipe, *, count: int, size: int, seed: int, epoch: int) -> Draws:
    """Draws the order of the images and all that is done to them in an epoch.

    Args:
        recipe: Says what is done, and how much of it.
        count: Number of training images; those beyond the last full batch wait for another epoch.
        size: Height and width of an image, in pixels.
        seed: Seed of the run.
        epoch: Number of the epoch, from 0.

    Returns:
        `index` [steps, batch] int32, and float32 arrays [steps, batch, …] for what the recipe asks:
        `matrix` (…, 2, 3), `color` (…, 7), `erased_box` (…, 4) and `erased_color` (…, 3), `mixed_box`
        (…, 4), `pixel_share` and `label_share`.
    """
    rng = np.random.default_rng((seed, epoch))
    steps = count // recipe.batch_size
    total = steps * recipe.batch_size
    augmentation = recipe.augmentation
    flat: Draws = {"index": rng.permutation(count)[:total].astype(np.int32)}
    chosen = draw_operations(augmentation.operations, augmentation.magnitude, total, rng)
    if chosen or any(
        (augmentation.flip, augmentation.crop_padding, augmentation.rotation, augmentation.zoom)
    ):
        flat["matrix"] = draw_matrices(augmentation, chosen, total, size, rng)
    if chosen:
        flat["color"] = draw_color(chosen)
    if augmentation.erasing:
        erased = rng.random(total) < augmentation.erasing
        flat["erased_box"] = draw_boxes(erased, size, rng)
        flat["erased_color"] = rng.uniform(0, 255, (total, 3))
    if recipe.mixing.probability:
        is_on = epoch < recipe.epochs - recipe.mixing.off_epochs
        flat |= draw_mixing(recipe.mixing, total, size, rng, is_on=is_on)
    return {
        name: np.ascontiguousarray(
            values.reshape(steps, recipe.batch_size, *values.shape[1:]),
            np.int32 if name == "index" else np.float32,
        )
        for name, values in flat.items()
    }
