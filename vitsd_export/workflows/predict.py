"""Naming what is on pictures, with an artifact of any format."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vitsd_export.data.images import read_image, resize_image
from vitsd_export.errors import InputError, UsageError
from vitsd_export.measure.accuracy import top_k
from vitsd_export.runtimes.base import ImageRunner


@dataclasses.dataclass(frozen=True)
class Prediction:
    """An answer on one image.

    Attributes:
        path: The image file.
        classes: Class names and their probabilities, the most probable first.
    """

    path: Path
    classes: tuple[tuple[str, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        classes = [
            {"label": label, "probability": probability} for label, probability in self.classes
        ]
        return {"image": str(self.path), "classes": classes}


def predict(
    runner: ImageRunner, image_paths: Iterable[Path | str], top: int = 5
) -> list[Prediction]:
    """Classifies image files of any size and mode.

    Args:
        runner: The classifier.
        image_paths: Image files; each is resized to the classifier's size.
        top: Classes to name for each image; all of them if there are fewer.

    Returns:
        One prediction for each image, in their order.

    Raises:
        InputError: If an image cannot be read, or the classifier's answer is not a number.
        UsageError: If `top` is below 1.
    """
    if top < 1:
        raise UsageError(f"The number of classes to name must be at least 1, not {top}.")
    paths = [Path(path) for path in image_paths]
    if not paths:
        return []
    images = np.stack([resize_image(read_image(path), runner.image_size) for path in paths])
    probabilities = runner.probabilities(images)
    if not np.isfinite(probabilities).all():
        raise InputError(
            f"The artifact {runner.path} answers with NaN or infinite probabilities: its weights "
            "are damaged. Export it again from a sound checkpoint."
        )
    order = top_k(probabilities, top)
    return [
        Prediction(path, tuple((runner.labels[index], float(row[index])) for index in best))
        for path, row, best in zip(paths, probabilities, order, strict=True)
    ]
