"""The batches of an epoch, augmented on threads of their own while the device computes."""

import collections
import dataclasses
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from training.augmentation.draws import Draws
from training.augmentation.pipeline import augment

# Two threads make 20,000 images a second of the strong recipe; what a processor trains needs less than one.
_MOST_THREADS = 4
_AHEAD = 3
"""Batches that lie ready for each thread."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one step is trained on.

    Attributes:
        pixels: [batch, size, size, 3] float32, 0–255.
        targets: [batch, classes] float32, shares of the classes.
        teacher: [batch, classes] float32 logits of the teacher for these pixels; None without one.
    """

    pixels: np.ndarray
    targets: np.ndarray
    teacher: np.ndarray | None = None


def augmented_batches(
    images: np.ndarray, labels: np.ndarray, classes: int, draws: Draws
) -> Iterator[Batch]:
    """Looks the images of each step up and augments them.

    Args:
        images: All training images [count, size, size, 3] uint8.
        labels: Their labels, [count] integers.
        classes: Number of classes.
        draws: What `draw_epoch` returned; `teacher` [steps, batch, classes], if there, goes along.
    """
    one_hot = np.eye(classes, dtype=np.float32)

    def make(step: int) -> Batch:
        drawn = {name: array[step] for name, array in draws.items()}
        index, teacher = drawn.pop("index"), drawn.pop("teacher", None)
        return Batch(*augment(images[index], one_hot[labels[index]], drawn), teacher)

    threads = max(1, min(_MOST_THREADS, (os.cpu_count() or 1) // 2))
    waiting: collections.deque[Future[Batch]] = collections.deque()
    with ThreadPoolExecutor(threads, "augmentation") as pool:
        try:
            for step in range(len(draws["index"])):
                waiting.append(pool.submit(make, step))
                if len(waiting) > _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
