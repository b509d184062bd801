"""Training images that are held out from the calibration: choices are made on them, never on test images."""

import dataclasses
from collections.abc import Callable

import numpy as np

from vitsd_export.data.dataset import ImageDataset, sample_indices
from vitsd_export.errors import InputError
from vitsd_export.quantization.calibration.images import (
    FEWEST_IMAGES,
    CalibrationSource,
    draw_calibration_images,
    read_every_image,
)

MOST_HELD_OUT = 2000
# The directions of thousands of outputs take more images than ranges do: with 512 in place of 4,096
# the answers of a head of rank 128 diverge a third more.
MOST_OBSERVED = 4096
# Fewer say little of how often answers agree.
FEWEST_HELD_OUT = 200


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingImages:
    """Training images; no image that is held out is in another part.

    Attributes:
        calibration: What weights and ranges are fitted to.
        observed: The same and more: what the directions of a head are chosen by.
        held_out: What choices are made on.
    """

    calibration: ImageDataset
    observed: ImageDataset
    held_out: ImageDataset


def read_training_images(
    source: CalibrationSource, size: int, progress: Callable[[str], None] = lambda _: None
) -> TrainingImages:
    """Reads calibration images, and others of the same source beside them.

    Where the calibration takes all there are, its last `FEWEST_HELD_OUT` are held out from it.

    Args:
        source: Where they come from.
        size: Height and width that a model takes, in pixels.
        progress: Called with what is going on, and with what is dubious.

    Raises:
        UsageError: If they are test images.
        InputError: If they cannot be read, or are too few for both parts.
    """
    every = read_every_image(source, size, progress)
    calibration = draw_calibration_images(source, every, progress)
    used = {image.tobytes() for image in calibration.images}
    rest = np.flatnonzero([image.tobytes() not in used for image in every.images])
    if len(rest) >= FEWEST_HELD_OUT:
        rest = rest[sample_indices(len(rest), len(rest), source.seed, source=every.source)]
        more = rest[MOST_HELD_OUT : MOST_HELD_OUT + max(0, MOST_OBSERVED - len(calibration))]
        observed = np.concatenate([calibration.images, every.images[more]])
        return TrainingImages(
            calibration,
            dataclasses.replace(calibration, images=observed, labels=None),
            every.subset(rest[:MOST_HELD_OUT]),
        )
    kept = len(calibration) - FEWEST_HELD_OUT
    if kept < FEWEST_IMAGES:
        raise InputError(
            f"{every.source} gives {len(every)} training images; {FEWEST_HELD_OUT} are held out to choose "
            f"on, which leaves fewer than {FEWEST_IMAGES} for the calibration. Give more images."
        )
    first = calibration.subset(np.arange(kept))
    return TrainingImages(first, first, calibration.subset(np.arange(kept, len(calibration))))
