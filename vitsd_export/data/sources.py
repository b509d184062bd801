"""Images from whatever the user names: a bundled sample, CIFAR, or a folder."""

import dataclasses
from pathlib import Path

import numpy as np

from vitsd_export.data.cifar import load_cifar
from vitsd_export.data.containers import require_folder
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.detection import detect_cifar
from vitsd_export.data.originals import CIFAR_NAMES, Split
from vitsd_export.data.sample import SAMPLE_SOURCES, choose_images, load_sample
from vitsd_export.data.tarball import is_tarball
from vitsd_export.errors import InputError, UsageError


def load_images(
    source: str,
    *,
    split: Split,
    size: int,
    data_dir: Path | str | None = None,
    count: int | None = None,
    seed: int = 0,
) -> ImageDataset:
    """Loads the images a user names, in the size a model takes.

    Args:
        source: `cifar10-sample` or `cifar100-sample` for a bundled sample, `sample` for the one that
            `choose_images` gives a model of unknown classes, `cifar10` or `cifar100` for these in
            `data_dir`, otherwise a path: CIFAR in one of the layouts `load_cifar` reads, its
            tarball among them, a folder of images, or one with a subfolder of images for each
            class. If an image folder has a subfolder named as the split, that is read.
        split: `train` or `test`.
        size: Height and width of the images, in pixels; images of another size are cut to their
            central square and resized.
        data_dir: Where CIFAR is, as for `load_cifar`, if `source` is its name; None for the Keras cache.
        count: Number of images to draw at random without replacement; all when None.
        seed: Seed of the draw.

    Returns:
        Images [N, size, size, 3]; labels None where the folder tells none.

    Raises:
        UsageError: If the options contradict each other.
        InputError: If there are no images, fewer than `count`, or some cannot be read.
    """
    if split not in ("train", "test"):
        raise UsageError(f"The split must be train or test, not {split!r}.")
    for name in CIFAR_NAMES:
        if source == name:
            return _fit(load_cifar(name, split, data_dir), size, count, seed)
    if data_dir is not None:
        raise UsageError(
            f"A data folder ({data_dir}) goes with {' or '.join(CIFAR_NAMES)}, not with {source!r}."
        )
    sample = SAMPLE_SOURCES.get(choose_images(source, ()))
    if sample is not None:
        part = load_sample("calibration" if split == "train" else "verification", sample)
        return _fit(part, size, count, seed)

    is_packed = is_tarball(source)
    path = Path(source).expanduser() if is_packed else require_folder(source, "images")
    held = detect_cifar(path)
    if len(held) > 1:
        raise UsageError(
            f"{path} holds both {' and '.join(held)}. Name the one to read and give "
            "this path as the data folder."
        )
    if held:
        return _fit(load_cifar(held[0], split, path), size, count, seed)
    if is_packed:
        raise InputError(
            f"{path} is a tarball without CIFAR. Extract it, and give the folder of the images."
        )
    from vitsd_export.data.image_folder import find_image_files, find_split

    subfolder = find_split(path, split)
    files = find_image_files(subfolder or path)
    # Drawn before reading: a folder may hold far more images than are wanted.
    if count is not None:
        files = files.sample(count, seed)
    return files.read(size, split="unknown" if subfolder is None else split)


def _fit(dataset: ImageDataset, size: int, count: int | None, seed: int) -> ImageDataset:
    return resize_dataset(dataset if count is None else dataset.sample(count, seed), size)


def resize_dataset(dataset: ImageDataset, size: int) -> ImageDataset:
    """Returns a data set whose images are cut to their central square and resized to `size` pixels."""
    from vitsd_export.data.images import resize_image

    if dataset.images.shape[1:3] == (size, size):
        return dataset
    images = np.stack([resize_image(image, size) for image in dataset.images])
    return dataclasses.replace(dataset, images=images)
