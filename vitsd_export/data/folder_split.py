"""Image folders to train with: a training split and a held-out one, with the same classes."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from vitsd_export.data.containers import require_folder
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.image_folder import (
    SPLIT_NAMES,
    ImageFiles,
    describe_problems,
    find_image_files,
    images_in,
    subfolders,
)
from vitsd_export.data.images import read_image
from vitsd_export.data.originals import Split
from vitsd_export.errors import InputError

# The first of these that a folder has is its test split.
_TEST_NAMES = ("test", "val", "valid", "validation")
_MOST_UNREADABLE = 0.05


def load_folder_split(
    path: Path | str,
    split: Split,
    size: int,
    *,
    validation_fraction: float,
    seed: int,
    on_skipped: Callable[[str], None],
) -> ImageDataset:
    """Loads a split of a folder that has a subfolder of images for each class.

    If the folder has the subfolders `train` and `test` (or `val`, `valid`, `validation`; the first
    of these that is there), each with the classes' subfolders, these are the splits. Otherwise a
    part of each class is held out as the test split: which images depends on their names and the
    seed alone, so that both splits together are the whole folder, whichever is loaded first.

    Args:
        path: The folder.
        split: `train`, or `test` for what is held out from training.
        size: Height and width of the images, in pixels; each is cut to its central square and
            resized.
        validation_fraction: Part of each class that is held out where the folder has no splits, above 0
            and below 1; at least one image of a class is held out and at least one is not.
        seed: Seed of that draw, 0 to 2**32 - 1.
        on_skipped: Called once, with a paragraph on the images that cannot be read and are left out.

    Returns:
        Images [N, size, size, 3] with labels; the classes are the subfolders, sorted.

    Raises:
        InputError: If the folder is missing, has no or only one class, a class has no image that
            can be read (or only one image, where a part is to be held out), the splits have
            different classes, or more than 5 % of the images cannot be read (of the split, or of the
            whole folder if it has no splits).
    """
    folder = require_folder(path, "images")
    folders = _find_splits(folder)
    if folders is None:
        whole = _find_labelled(folder)
        _check_classes(whole)
        parts = _hold_out(whole, validation_fraction, seed)
        files, rest = parts[split], parts["test" if split == "train" else "train"]
    else:
        splits = {name: _find_labelled(subfolder) for name, subfolder in folders.items()}
        _check_same_classes(splits["train"], splits["test"])
        for part in splits.values():
            _check_classes(part)
        files, rest = splits[split], None

    dataset, problems = files.read_usable(size, split=split)
    if problems:
        _check_problems(files, dataset.labels, problems, rest)
        on_skipped("Left out: " + describe_problems(files.folder, problems, len(files.paths)))
    return dataclasses.replace(dataset, name=folder.resolve().name)


def _find_splits(folder: Path) -> dict[Split, Path] | None:
    """Returns the subfolders of the splits, or None where the subfolders are classes."""
    names = {entry.name: entry for entry in subfolders(folder)}
    train = names.get("train")
    test = next((names[name] for name in _TEST_NAMES if name in names), None)
    if train is not None and test is not None:
        # A class may be called `train`; then its images lie directly in it.
        if names.keys() <= SPLIT_NAMES or not (images_in(train) or images_in(test)):
            return {"train": train, "test": test}
    elif names and names.keys() <= SPLIT_NAMES:
        missing = "train" if train is None else f"{', '.join(_TEST_NAMES[:-1])} or validation"
        raise InputError(
            f"{folder} has the split {', '.join(names)} but no {missing}. Add it, or give "
            f"{next(iter(names.values()))} to have a part of that held out."
        )
    return None


def _find_labelled(folder: Path) -> ImageFiles:
    files = find_image_files(folder)
    if files.labels is None:
        raise InputError(
            f"{folder} has images, but no subfolders that tell their classes. Move the images of "
            "each class into a subfolder with its name."
        )
    return files


def _check_classes(files: ImageFiles) -> None:
    """Raises InputError unless there are two or more classes, each with images."""
    if len(files.class_names) == 1:
        raise InputError(
            f"{files.folder} has only one class, {files.class_names[0]}; a classifier needs two "
            "or more. Add a subfolder of images for each other class."
        )
    _check_every_class(files.labels or (), files, "has no images")


def _check_every_class(labels: Iterable[int], files: ImageFiles, problem: str) -> None:
    held = set(labels)
    missing = [name for label, name in enumerate(files.class_names) if label not in held]
    if missing:
        more = f"; the same holds for {', '.join(missing[1:])}" if len(missing) > 1 else ""
        raise InputError(
            f"{files.folder / missing[0]} {problem}{more}. Add images, or remove the class."
        )


def _check_same_classes(train: ImageFiles, test: ImageFiles) -> None:
    differences = [
        f"{one.folder} alone has {', '.join(extra)}"
        for one, other in ((train, test), (test, train))
        if (extra := sorted(set(one.class_names) - set(other.class_names)))
    ]
    if differences:
        raise InputError(
            f"The splits in {train.folder.parent} have different classes: "
            f"{'; '.join(differences)}. Both need a subfolder for each class."
        )


def _hold_out(files: ImageFiles, fraction: float, seed: int) -> dict[Split, ImageFiles]:
    """Draws the splits, class by class."""
    labels = np.array(files.labels)
    # RandomState's stream is frozen by NumPy's policy; Generator's may change between versions.
    random = np.random.RandomState(seed)
    is_held_out = np.zeros(len(labels), bool)
    for label, name in enumerate(files.class_names):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise InputError(
                f"{files.folder / name} has only one image, which cannot be both trained on and "
                "held out. Add images, or remove the class."
            )
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        is_held_out[random.permutation(members)[:count]] = True
    return {
        "train": files.take(np.flatnonzero(~is_held_out)),
        "test": files.take(np.flatnonzero(is_held_out)),
    }


def _check_problems(
    files: ImageFiles, labels: np.ndarray | None, problems: list[str], rest: ImageFiles | None
) -> None:
    """Raises InputError if too many images of a split cannot be read, or all of a class.

    Args:
        files: The images of the split.
        labels: Those of the images that can be read.
        problems: What is wrong with each of the others.
        rest: The folder's other images, if the split was drawn from it: one bad image is much of a small
            part that is held out, and little of the folder.
    """
    total = len(files.paths)
    if rest is not None and len(problems) > _MOST_UNREADABLE * total:
        problems = problems + _unreadable(rest)
        total += len(rest.paths)
    if len(problems) > _MOST_UNREADABLE * total:
        raise InputError(
            describe_problems(files.folder, problems, total)
            + f" More than {_MOST_UNREADABLE:.0%} is too many to leave out: replace or remove them."
        )
    _check_every_class([] if labels is None else labels.tolist(), files, "has no readable image")


def _unreadable(files: ImageFiles) -> list[str]:
    """Returns what is wrong with each file that cannot be read."""
    problems = []
    for path in files.paths:
        try:
            read_image(path)
        except InputError as error:
            problems.append(str(error))
    return problems
