"""Random changes to training images, drawn for each image on its own, in NumPy."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to a training image before the model sees it.

    Attributes:
        flip: Mirror half of the images left to right.
        crop_padding: Pixels of reflected border added before a crop of the old size.
        rotation: Largest rotation either way, as a fraction of a full turn.
        zoom: Largest change of height and width (drawn apart), as a fraction of them.
    """

    flip: bool = False
    crop_padding: int = 0
    rotation: float = 0.0
    zoom: float = 0.0

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Returns augmented copies.

        Args:
            images: [N, H, W, C] uint8.
            rng: Source of all randomness.

        Returns:
            [N, H, W, C] float32, pixel values 0–255.
        """
        if self.flip:
            images = random_flip(images, rng)
        if self.crop_padding:
            images = random_crop(images, self.crop_padding, rng)
        result = images.astype(np.float32)
        if self.rotation or self.zoom:
            result = random_affine(result, self.rotation, self.zoom, rng)
        return result


def random_flip(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrors each of [N, H, W, C] images left to right with probability ½."""
    mirrored = rng.random(len(images)) < 0.5
    return np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


def random_crop(images: np.ndarray, padding: int, rng: np.random.Generator) -> np.ndarray:
    """Shifts each of [N, H, W, C] images by up to `padding` pixels, filled by reflection."""
    count, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)), "reflect")
    top, left = rng.integers(0, 2 * padding + 1, (2, count))
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.arange(width)
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _reflect(coordinates: np.ndarray, size: int) -> np.ndarray:
    """Folds coordinates into [0, size - 1] by mirroring at the outer edges of the border pixels."""
    folded = np.mod(coordinates + 0.5, 2 * size)
    return np.clip(np.minimum(folded, 2 * size - folded) - 0.5, 0, size - 1)


def random_affine(
    images: np.ndarray, rotation: float, zoom: float, rng: np.random.Generator
) -> np.ndarray:
    """Rotates and zooms each image about its centre, bilinear, borders filled by reflection.

    Args:
        images: [N, H, W, C] float32.
        rotation: Largest angle either way, as a fraction of a full turn.
        zoom: Largest relative change of height and of width.
        rng: Source of all randomness.
    """
    count, height, width, _ = images.shape
    angle = rng.uniform(-rotation, rotation, count) * 2 * np.pi
    scale_y, scale_x = rng.uniform(1 - zoom, 1 + zoom, (2, count))
    y, x = np.meshgrid(
        np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij"
    )
    cos, sin = (f(angle)[:, None, None] for f in (np.cos, np.sin))
    source_y = (cos * y + sin * x) * scale_y[:, None, None] + (height - 1) / 2
    source_x = (cos * x - sin * y) * scale_x[:, None, None] + (width - 1) / 2
    source_y, source_x = _reflect(source_y, height), _reflect(source_x, width)
    top, left = np.floor(source_y).astype(int), np.floor(source_x).astype(int)
    weight_y = (source_y - top)[..., None].astype(np.float32)
    weight_x = (source_x - left)[..., None].astype(np.float32)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    n = np.arange(count)[:, None, None]
    upper = images[n, top, left] * (1 - weight_x) + images[n, top, right] * weight_x
    lower = images[n, bottom, left] * (1 - weight_x) + images[n, bottom, right] * weight_x
    return upper * (1 - weight_y) + lower * weight_y
