"""Folders of image files, flat or with one subfolder a class."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from vitsd_export.data.containers import require_folder
from vitsd_export.data.dataset import ImageDataset, sample_indices
from vitsd_export.data.images import check_size, read_image, resize_image
from vitsd_export.errors import InputError

_EXTENSIONS = frozenset(
    {
        ".avif",
        ".bmp",
        ".gif",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    }
)
SPLIT_NAMES = frozenset({"train", "test", "val", "valid", "validation"})
_MOST_NAMED = 5


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Image files and their labels, not yet read.

    Attributes:
        folder: Where they lie.
        paths: The files.
        labels: [N] indices into `class_names`, or None where the folder does not tell classes.
        class_names: Names of the subfolders, sorted; empty where `labels` is None.
    """

    folder: Path
    paths: tuple[Path, ...]
    labels: tuple[int, ...] | None
    class_names: tuple[str, ...]

    def sample(self, count: int, seed: int) -> Self:
        """Returns `count` files drawn at random without replacement, as `ImageDataset.sample`."""
        return self.take(sample_indices(len(self.paths), count, seed, source=str(self.folder)))

    def spread(self, limit: int) -> Self:
        """Returns at most `limit` files, at least 1, taken evenly, so that every class has its share."""
        count = min(limit, len(self.paths))
        return self.take(np.arange(count) * len(self.paths) // count)

    def take(self, indices: np.ndarray) -> Self:
        """Returns the files at `indices` (integers), in that order."""
        chosen = indices.tolist()
        return dataclasses.replace(
            self,
            paths=tuple(self.paths[index] for index in chosen),
            labels=None if self.labels is None else tuple(self.labels[index] for index in chosen),
        )

    def read(self, size: int, *, split: str = "unknown") -> ImageDataset:
        """Reads the files, each resized to `size` by `size` pixels.

        Raises:
            InputError: If files cannot be read; it names them.
        """
        dataset, problems = self.read_usable(size, split=split)
        if problems:
            raise InputError(describe_problems(self.folder, problems, len(self.paths)))
        return dataset

    def read_usable(self, size: int, *, split: str = "unknown") -> tuple[ImageDataset, list[str]]:
        """Reads the files that can be read, each resized to `size` by `size` pixels.

        Returns:
            The images, and what is wrong with each of the other files, naming it.

        Raises:
            InputError: If the images do not fit into memory.
            UsageError: If `size` is less than 1.
        """
        check_size(size)
        try:
            # Not a list to be stacked: a large folder would need twice its memory.
            images = np.empty((len(self.paths), size, size, 3), np.uint8)
        except (MemoryError, ValueError) as error:
            raise InputError(
                f"{len(self.paths)} images of {size}×{size} pixels from {self.folder} do not fit "
                "into memory. Use a smaller size or fewer images."
            ) from error
        usable: list[int] = []
        problems: list[str] = []
        for index, path in enumerate(self.paths):
            try:
                images[len(usable)] = resize_image(read_image(path), size)
            except InputError as error:
                problems.append(str(error))
            else:
                usable.append(index)
        labels = None if self.labels is None else np.array(self.labels, np.int64)[usable]
        dataset = ImageDataset(
            images=images[: len(usable)],
            labels=labels,
            class_names=self.class_names,
            name=self.folder.resolve().name,
            split=split,
            source=str(self.folder),
        )
        return dataset, problems


def describe_problems(folder: Path, problems: Sequence[str], total: int) -> str:
    """Returns a paragraph on the unusable ones of `total` images, which names the first of them."""
    more = len(problems) - _MOST_NAMED
    return (
        f"{len(problems)} of the {total} images in {folder} cannot be used. "
        + " ".join(problems[:_MOST_NAMED])
        + (f" And {more} more." if more > 0 else "")
    )


def find_image_files(path: Path | str) -> ImageFiles:
    """Lists the images in a folder, or in its subfolders, each of which is then a class.

    Images are known by their file extension. Hidden files and folders, and those whose names begin
    with two underscores, are ignored. A subfolder without images keeps its place among the classes.

    Raises:
        InputError: If the folder is missing, has no images, has images both directly and in
            subfolders, or its subfolders are not classes but splits.
    """
    folder = require_folder(path, "images")
    flat = images_in(folder)
    classes = {
        entry.name: images_in(require_folder(entry, "images")) for entry in subfolders(folder)
    }
    if not flat and classes and set(classes) <= SPLIT_NAMES:
        raise InputError(
            f"The subfolders of {folder} ({', '.join(classes)}) are splits, not classes. "
            "Give one of them."
        )
    labelled = any(classes.values())
    if flat and labelled:
        raise InputError(
            f"{folder} has images both directly ({flat[0].name}) and in subfolders. Keep either "
            "images alone, or one subfolder for each class."
        )
    if flat:
        return ImageFiles(folder, tuple(flat), None, ())
    if not labelled:
        raise InputError(
            f"{folder} has no images. Give a folder of image files (PNG, JPEG, WebP, …), or one "
            "with a subfolder of images for each class."
        )
    pairs = [(path, label) for label, paths in enumerate(classes.values()) for path in paths]
    return ImageFiles(
        folder,
        tuple(path for path, _ in pairs),
        tuple(label for _, label in pairs),
        tuple(classes),
    )


def find_split(path: Path | str, split: str) -> Path | None:
    """Returns the subfolder that is named as the split, if an image folder's subfolders are splits.

    A class may be called `train` (CIFAR-100 has one): they are splits only if all are named so.
    """
    folder = require_folder(path, "images")
    names = {entry.name for entry in subfolders(folder)}
    return folder / split if split in names and names <= SPLIT_NAMES else None


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__")))


def subfolders(folder: Path) -> list[Path]:
    """Returns the subfolders that are not hidden, sorted."""
    return [entry for entry in _visible(folder) if entry.is_dir()]


def images_in(folder: Path) -> list[Path]:
    """Returns the image files directly in a folder, sorted."""
    return [
        entry
        for entry in _visible(folder)
        if entry.suffix.lower() in _EXTENSIONS and os.path.isfile(entry)
    ]
