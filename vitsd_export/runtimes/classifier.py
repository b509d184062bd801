"""Classifying pictures from many threads, with an ONNX or LiteRT file and without TensorFlow."""

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self, TypeGuard, overload

import numpy as np
from PIL import Image

from vitsd_export.artifact.damage import unusable
from vitsd_export.artifact.format_detection import find_format
from vitsd_export.data.images import image_pixels, read_image, resize_image
from vitsd_export.errors import InputError, UsageError
from vitsd_export.runtimes.base import DEFAULT_BATCH_SIZE, ImageRunner
from vitsd_export.runtimes.opening import open_runner
from vitsd_export.runtimes.pool import RunnerPool

Picture = str | os.PathLike[str] | Image.Image | np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Classification:
    """What is on a picture.

    Attributes:
        label: The most probable class.
        probability: Its probability.
        top: The most probable classes and their probabilities, in falling order.
        probabilities: [classes] float32, in the order of `Classifier.labels`; read-only.
    """

    label: str
    probability: float
    top: tuple[tuple[str, float], ...]
    probabilities: np.ndarray


class Classifier:
    """An artifact that says what is on pictures; any number of threads may call it.

    Threads share one session of ONNX Runtime. A LiteRT interpreter serves one thread at a time: as
    many are opened as threads call at once, up to `workers`; more threads wait for their turn.

        with Classifier("vit-tiny-cifar10.onnx") as classify:
            print(classify("photo.jpg").label)

    Attributes:
        labels: Class names in the order of the probabilities.
        image_size: Height and width to which pictures are cut and scaled, in pixels.

    Args:
        artifact: ONNX or LiteRT file.
        top: Classes that an answer names; all of them if there are fewer.
        threads: Threads of one run inside the runtime; the runtime's own choice when None.
        workers: LiteRT interpreters at most; the processors when None.
        batch_size: Pictures that are decoded and run together.

    Raises:
        InputError: If the file cannot be used, or is a SavedModel, which needs TensorFlow.
        UsageError: If a number is below 1.
        EnvironmentProblem: If the runtime's package is not installed.
    """

    def __init__(
        self,
        artifact: Path | str,
        *,
        top: int = 5,
        threads: int | None = None,
        workers: int | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> None:
        path = Path(artifact)
        for name, number in (("top", top), ("workers", workers), ("batch_size", batch_size)):
            if number is not None and number < 1:
                raise UsageError(f"`{name}` must be at least 1, not {number}.")
        form = find_format(path)
        if form.needs_tensorflow:
            raise unusable(path, f"{form.phrase} needs TensorFlow; `open_runner` opens it")
        # The file is searched for damage once; the interpreters after the first are of the same file.
        trusted = itertools.chain([False], itertools.repeat(True))

        def open_another() -> ImageRunner:
            return open_runner(path, threads=threads, batch_size=batch_size, trusted=next(trusted))

        limit = None if form.concurrent else workers or os.cpu_count() or 1
        self._pool = RunnerPool(open_another, limit)
        runner = self._pool.first
        self._path, self._top, self._batch_size = path, top, batch_size
        self.labels, self.image_size = runner.labels, runner.image_size

    # A string is an iterable of strings, and an array one of arrays: the first that fits is meant.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, pictures: str | os.PathLike[str] | Image.Image
    ) -> Classification: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, pictures: np.ndarray
    ) -> Classification | list[Classification]: ...

    @overload
    def __call__(self, pictures: Iterable[Picture]) -> list[Classification]: ...

    def __call__(
        self, pictures: Picture | Iterable[Picture]
    ) -> Classification | list[Classification]:
        """Classifies a picture, or many.

        Args:
            pictures: A path, a Pillow image or an array [height, width, 3] of uint8 RGB pixels, of any
                size; or several of them, such as an array [N, height, width, 3].

        Returns:
            One answer for one picture, a list in the same order for several.

        Raises:
            InputError: If a picture cannot be read, an array is no picture, or the artifact's answer
                is not a number.
            ValueError: If the classifier is closed.
        """
        if _is_one(pictures):
            return next(self._answers([pictures]))
        return list(self._answers(pictures))  # type: ignore[arg-type]

    def close(self) -> None:
        """Lets batches under way finish and releases the runtime; after that calls raise ValueError."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answers(self, pictures: Iterable[Picture]) -> Iterator[Classification]:
        rest = iter(pictures)
        while chunk := list(itertools.islice(rest, self._batch_size)):
            pixels = np.stack(
                [resize_image(_pixels(picture), self.image_size) for picture in chunk]
            )
            with self._pool.lend() as runner:
                rows = runner.probabilities(pixels)
            if not np.isfinite(rows).all():
                raise InputError(
                    f"The artifact {self._path} answers with NaN or infinite probabilities: its "
                    "weights are damaged. Export it again from a sound checkpoint."
                )
            rows.flags.writeable = False
            yield from map(self._describe, rows)

    def _describe(self, row: np.ndarray) -> Classification:
        # Stable, so that of equally probable classes the first is named first.
        best = np.argsort(-row, kind="stable")[: self._top]
        top = tuple((self.labels[index], float(row[index])) for index in best)
        return Classification(*top[0], top, row)


def _is_one(pictures: object) -> TypeGuard[Picture]:
    if isinstance(pictures, np.ndarray):
        return pictures.ndim != 4
    return isinstance(pictures, (str, os.PathLike, Image.Image))


def _pixels(picture: Picture) -> np.ndarray:
    if isinstance(picture, Image.Image):
        return image_pixels(picture)
    if not isinstance(picture, np.ndarray):
        return read_image(os.fspath(picture))
    if (
        picture.dtype != np.uint8
        or picture.ndim != 3
        or picture.shape[2] != 3
        or 0 in picture.shape
    ):
        raise InputError(
            "A picture in an array must be RGB pixels 0–255, uint8 of shape [height, width, 3]; got "
            f"{picture.dtype} {list(picture.shape)}. Convert it, or pass the file or a Pillow image."
        )
    return picture
