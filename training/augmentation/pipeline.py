"""What becomes of a batch before the model sees it."""

from typing import Any

from keras import ops

from training.augmentation.color import change_color
from training.augmentation.erasing import erase
from training.augmentation.geometry import transform
from training.augmentation.mixing import mix


def augment(
    images: Any, labels: Any, draws: dict[str, Any], *, interpolate: bool
) -> tuple[Any, Any]:
    """Changes and mixes a batch as drawn; what was not drawn is not done.

    Args:
        images: [N, size, size, 3] uint8.
        labels: [N, classes] float32.
        draws: One step of `draw_epoch`'s arrays: [N, …] each.
        interpolate: Whether pixels are moved by more than whole pixels.

    Returns:
        Images [N, size, size, 3] float32, 0–255, and labels [N, classes] float32.
    """
    images = ops.cast(images, "float32")
    if "matrix" in draws:
        images = transform(images, draws["matrix"], interpolate=interpolate)
    if "color" in draws:
        images = change_color(images, draws["color"])
    if "erased_box" in draws:
        images = erase(images, draws["erased_box"], draws["erased_color"])
    if "mixed_box" in draws:
        images, labels = mix(
            images, labels, draws["mixed_box"], draws["pixel_share"], draws["label_share"]
        )
    return images, labels
