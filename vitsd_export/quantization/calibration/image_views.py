"""More views of few images: mirrored and moved by some pixels, as models for such images are trained on."""

import numpy as np

# Of the height and width: CIFAR's images are cropped by up to an eighth in training.
_LARGEST_MOVE = 0.1


def image_views(images: np.ndarray, count: int) -> np.ndarray:
    """Returns images [N, height, width, 3] uint8, followed by views of them, up to `count` in all.

    The first views are mirror images; the others are also moved by up to a tenth of the image, with its edge
    repeated, and every second of them mirrored. The same images have the same views.
    """
    rng = np.random.default_rng(0)
    reach = max(1, round(_LARGEST_MOVE * images.shape[1]))
    views = [images]
    while sum(map(len, views)) + len(images) <= count:
        view = images[:, :, ::-1] if len(views) % 2 else images
        if len(views) > 1:
            view = _moved(view, rng.integers(-reach, reach + 1, 2), reach)
        views.append(view)
    return np.concatenate(views)


def _moved(images: np.ndarray, move: np.ndarray, reach: int) -> np.ndarray:
    height, width = images.shape[1:3]
    wide = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    down, right = reach + move
    return wide[:, down : down + height, right : right + width]
