"""A set of images of one size with their labels, held in memory."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Self

import numpy as np

from vitsd_export.errors import InputError, UsageError

SPLITS = ("train", "test", "unknown")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images of one size, raw RGB pixels, and their labels.

    Attributes:
        images: [N, height, width, 3] uint8, RGB pixels 0–255.
        labels: [N] int64 indices into `class_names`, or None where the classes are not known.
        class_names: Name of each class, in the order of the labels; empty where `labels` is None.
        name: What the images are: `cifar10`, `cifar100`, or a folder's name.
        split: `train`, `test`, or `unknown` where the source does not say.
        source: Where the images were read from, for manifests and messages.

    Raises:
        InputError: If the arrays do not have these types and shapes, or a label has no name.
    """

    images: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    name: str
    split: str
    source: str

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise InputError(
                f"{self.source}: images must be uint8 [N, height, width, 3], "
                f"not {images.dtype} {list(images.shape)}."
            )
        if self.split not in SPLITS:
            raise InputError(f"{self.source}: split must be one of {SPLITS}, not {self.split!r}.")
        if labels is None:
            return
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise InputError(
                f"{self.source}: labels must be int64 [{len(images)}], one for each image, "
                f"not {labels.dtype} {list(labels.shape)}."
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.class_names):
            raise InputError(
                f"{self.source}: labels run from {labels.min()} to {labels.max()}, but there are "
                f"{len(self.class_names)} classes. The labels are of other classes, or missing."
            )

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: Sequence[int] | np.ndarray) -> Self:
        """Returns the images at `indices` (integers), in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        labels = None if self.labels is None else self.labels[chosen]
        return dataclasses.replace(self, images=self.images[chosen], labels=labels)

    def sample(self, count: int, seed: int) -> Self:
        """Returns `count` images drawn at random without replacement.

        The same seed draws the same images on every platform and NumPy version.

        Raises:
            UsageError: If `count` is less than 1.
            InputError: If there are fewer than `count` images.
        """
        return self.subset(sample_indices(len(self), count, seed, source=self.source))

    def labels_for(self, class_names: Sequence[str]) -> np.ndarray | None:
        """Returns the labels, [N] int64, if they are of a model's classes; else None."""
        return self.labels if self.class_names == tuple(class_names) else None

    def describe(self, class_names: Sequence[str]) -> dict[str, str]:
        """Returns what manifests say of images that a model of these classes was run on.

        That is `source`, `split`, and whose classes the `labels` are of: `the model's`, `others`, or `none`
        without labels.
        """
        labels = "others" if self.labels is not None else "none"
        if self.labels_for(class_names) is not None:
            labels = "the model's"
        return {"source": self.source, "split": self.split, "labels": labels}

    def sha256(self) -> str:
        """Returns the SHA-256, in hexadecimal, over the shape, the pixels and the labels."""
        digest = hashlib.sha256(f"{list(self.images.shape)}".encode())
        digest.update(np.ascontiguousarray(self.images).data)
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels, dtype="<i8").data)
        return digest.hexdigest()


def sample_indices(available: int, count: int, seed: int, *, source: str) -> np.ndarray:
    """Returns `count` different integers below `available`, drawn at random; messages name the source.

    Raises:
        UsageError: If `count` is less than 1 or the seed is out of range.
        InputError: If `count` is more than `available`.
    """
    if count < 1:
        raise UsageError(f"The number of images to draw must be at least 1, not {count}.")
    if not 0 <= seed < 2**32:
        raise UsageError(f"The seed must be between 0 and {2**32 - 1}, not {seed}.")
    if count > available:
        raise InputError(
            f"{source}: {count} images were asked for, but there are {available}. "
            "Ask for fewer, or give more images."
        )
    # RandomState's stream is frozen by NumPy's policy; Generator's may change between versions.
    return np.random.RandomState(seed).permutation(available)[:count].astype(np.int64)
