"""What becomes of a batch before the model sees it.

On the host, in NumPy: an operation runs for those images alone for which it is drawn, which a compiled graph
of fixed shapes cannot do. It is the same on every backend, and runs beside the steps (`training.batches`).
"""

import numpy as np

from training.augmentation.color import change_color
from training.augmentation.draws import Draws
from training.augmentation.erasing import erase
from training.augmentation.geometry import transform
from training.augmentation.mixing import mix


def augment(images: np.ndarray, labels: np.ndarray, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Changes and mixes a batch as drawn; what was not drawn is not done.

    Args:
        images: [N, size, size, 3] uint8.
        labels: [N, classes] float32.
        draws: One step of `draw_epoch`'s arrays: [N, …] each.

    Returns:
        Images [N, size, size, 3] float32, 0–255, and labels [N, classes] float32.
    """
    images = transform(images, draws["matrix"]) if "matrix" in draws else images.astype(np.float32)
    if "color" in draws:
        images = change_color(images, draws["color"])
    if "erased_box" in draws:
        images = erase(images, draws["erased_box"], draws["erased_color"])
    if "mixed_box" in draws:
        images, labels = mix(
            images, labels, draws["mixed_box"], draws["pixel_share"], draws["label_share"]
        )
    return images.astype(np.float32, copy=False), labels.astype(np.float32, copy=False)
