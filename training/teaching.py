"""What a teacher says of the images of an epoch, each view asked once."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from training.augmentation.draws import Draws, draw_epoch
from training.batches import Batch, augmented_batches
from training.precision import Precision, lower_precision
from training.recipes import Recipe
from training.run_files import writing
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import InputError
from vitsd_export.sources.checkpoint import load_model


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A trained classifier of the same classes.

    Attributes:
        model: Maps [N, size, size, 3] float32 pixels to [N, classes] logits.
        sha256: Digest of its file.
    """

    model: keras.Model
    sha256: str


def load_teacher(source: str, data: ImageDataset, precision: Precision) -> Teacher:
    """Reads a teacher from any source that `load_model` takes.

    Args:
        source: Where it is.
        data: Training images, whose size and classes must be the teacher's.
        precision: In what its products are computed.

    Raises:
        InputError: If it cannot be read, or has other classes or another image size.
    """
    loaded = load_model(source)
    if loaded.labels is not None and loaded.labels != tuple(data.class_names):
        raise InputError(f"The teacher {loaded.path} has other classes than {data.source}.")
    if loaded.num_classes != len(data.class_names):
        raise InputError(
            f"The teacher {loaded.path} has {loaded.num_classes} classes; {data.source} has "
            f"{len(data.class_names)}."
        )
    if loaded.image_size != data.images.shape[1]:
        raise InputError(
            f"The teacher {loaded.path} takes images of {loaded.image_size} pixels; {data.source} has "
            f"{data.images.shape[1]}."
        )
    lower_precision(loaded.model, precision)
    return Teacher(loaded.model, loaded.sha256)


@dataclasses.dataclass(frozen=True)
class Lessons:
    """Batches of a run, with the teacher's answers where there is one.

    Attributes:
        recipe: Says how images are augmented and how many views there are.
        data: Training images with labels.
        seed: Seed of the run.
        teacher: None for labels alone.
        folder: Where answers are kept, [images, classes] float16 a view. They can be deleted.
    """

    recipe: Recipe
    data: ImageDataset
    seed: int
    teacher: Teacher | None
    folder: Path

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return len(self.data) // self.recipe.batch_size

    def view(self, epoch: int) -> int:
        """Returns the epoch, from 0, whose augmentation an epoch repeats: itself where nothing repeats."""
        recurring = self.recipe.epochs - self.recipe.mixing.off_epochs
        views = min(self.recipe.distillation.views, recurring)
        if self.teacher is None or not views or epoch >= recurring:
            return epoch
        return epoch % views

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Returns the batches of an epoch, from 0."""
        view = self.view(epoch)
        drawn = draw_epoch(
            self.recipe,
            count=len(self.data),
            size=self.data.images.shape[1],
            seed=self.seed,
            epoch=view,
        )
        answers = self._stored(view)
        if answers is not None:
            drawn["teacher"] = answers.reshape(*drawn["index"].shape, -1)
        if view != epoch:
            drawn = _reorder_pairs(drawn, np.random.default_rng((self.seed, epoch, 1)))
        labels = np.asarray(self.data.labels)
        made = augmented_batches(self.data.images, labels, len(self.data.class_names), drawn)
        return made if self.teacher is None or answers is not None else self._taught(made, epoch)

    def _taught(self, batches: Iterator[Batch], epoch: int) -> Iterator[Batch]:
        assert self.teacher is not None  # noqa: S101  the caller looked
        answers = []
        for batch in batches:
            logits = np.asarray(self.teacher.model.predict_on_batch(batch.pixels), np.float32)
            answers.append(logits.astype(np.float16))
            yield dataclasses.replace(batch, teacher=logits)
        # Only what comes again is worth keeping, and only in its own order.
        if epoch < self.recipe.distillation.views and self.view(epoch) == epoch:
            self._store(epoch, np.concatenate(answers))

    def forget(self) -> None:
        """Deletes stored answers: a run that was given up may have had another teacher or other pixels."""
        with writing(self.folder):
            for path in self.folder.glob("teacher-view*.npy"):
                path.unlink()

    def _path(self, view: int) -> Path:
        return self.folder / f"teacher-view{view:04d}.npy"

    def _stored(self, view: int) -> np.ndarray | None:
        if self.teacher is None:
            return None
        shape = (self.steps * self.recipe.batch_size, len(self.data.class_names))
        try:
            answers = np.load(self._path(view))
        except (OSError, ValueError, EOFError):
            # Not there, or damaged: the teacher is asked again.
            return None
        return answers.astype(np.float32) if answers.shape == shape else None

    def _store(self, view: int, answers: np.ndarray) -> None:
        path = self._path(view)
        with writing(self.folder):
            temporary = path.with_suffix(".writing.npy")
            np.save(temporary, answers)
            temporary.replace(path)


def _reorder_pairs(drawn: Draws, rng: np.random.Generator) -> Draws:
    """Puts the images of an epoch into another order; the two that are mixed stay together."""
    steps, batch = drawn["index"].shape
    if batch % 2:
        order = rng.permutation(steps * batch)[:, None]
    else:
        order = rng.permutation(steps * batch // 2)[:, None] * 2 + np.arange(2)
    order = order.reshape(steps, batch)
    return {
        name: array.reshape(steps * batch, *array.shape[2:])[order] for name, array in drawn.items()
    }
