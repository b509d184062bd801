"""Evaluates a trained model on a data set, in all and class by class."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from training.datasets import load_split
from training.evaluation import BATCH_SIZE, predict_logits, require_labels
from training.report import Report, report_logits
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import InputError, UsageError
from vitsd_export.sources.checkpoint import LoadedModel, load_model

if TYPE_CHECKING:
    from rich.console import Console

EvaluationSplit = Literal["test", "train", "validation"]

_MOST_CLASSES_SHOWN = 20
# Of a sum of rounded probabilities: those of a bfloat16 model have 8 bits.
_SUM_TOLERANCE = 0.02


@dataclasses.dataclass(frozen=True)
class CheckpointEvaluation:
    """What a checkpoint scores on a data set.

    Attributes:
        checkpoint: Its file.
        sha256: Digest of that file, hexadecimal.
        data: Name of the data set: `cifar10`, `cifar100`, or the folder's own.
        source: Where the images were read from.
        split: Which part of the data set they are.
        answers: What the model itself gives: logits, or probabilities.
        report: The figures.
    """

    checkpoint: Path
    sha256: str
    data: str
    source: str
    split: EvaluationSplit
    answers: Literal["logits", "probabilities"]
    report: Report

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        facts = {**vars(self), "checkpoint": str(self.checkpoint)}
        return facts | facts.pop("report").to_dict()


def evaluate_checkpoint(
    checkpoint: str | Path,
    data: str,
    *,
    data_dir: Path | None = None,
    split: EvaluationSplit = "test",
    preset: str | None = None,
    batch_size: int = BATCH_SIZE,
    seed: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> CheckpointEvaluation:
    """Loads a checkpoint and scores it on the images of a data set.

    Args:
        checkpoint: Name of a bundled model, a .keras file, or a .weights.h5 file.
        data: `cifar10`, `cifar100`, or `folder:PATH` with a subfolder of images for each class.
        data_dir: Where CIFAR lies; None for Keras's cache.
        split: `test`, `train`, or `validation`: what the checkpoint's training held out of `train`.
        preset: Architecture that a file of weights belongs to.
        batch_size: Images in a call of the model.
        seed: Seed the model was trained with: it tells which images of a folder without splits of its
            own, and of `train`, were held out. That of the checkpoint's card, else 0, when None.
        tell: Called with what is going on, and with the images that cannot be read and are left out.

    Raises:
        UsageError: If options contradict each other or name what does not exist, or `validation` is
            asked of a checkpoint that does not tell what was held out.
        InputError: If the checkpoint or the images cannot be used, or the classes of one are not those
            of the other.
        EnvironmentProblem: If CIFAR has to be downloaded and cannot be.
    """
    loaded = load_model(checkpoint, preset=preset)
    if seed is None:
        seed = int(loaded.card.get("seed", 0))
    held_out = _held_out_count(loaded) if split == "validation" else 0
    images = load_split(
        data,
        data_dir,
        "test" if split == "test" else "train",
        size=loaded.image_size,
        seed=seed,
        tell=tell,
    )
    images = match_classes(images, loaded)
    if split == "validation":
        images = _held_out(images, loaded, held_out, seed)
    labels = require_labels(images)
    tell(f"Evaluating {loaded.path} on {len(images)} images.")
    answers = predict_logits(loaded.model, images.images, batch_size)
    logits, meaning = as_logits(answers, loaded.path)
    return CheckpointEvaluation(
        checkpoint=loaded.path,
        sha256=loaded.sha256,
        data=images.name,
        source=images.source,
        split=split,
        answers=meaning,
        report=report_logits(logits, labels, images.class_names),
    )


def match_classes(data: ImageDataset, loaded: LoadedModel) -> ImageDataset:
    """Returns a data set whose labels are the model's outputs.

    The same names in another order, as folders give them, are brought into the model's order. A model
    that carries no names is taken to have those of the data.

    Raises:
        InputError: If they have different classes.
    """
    names = data.class_names
    labels = require_labels(data)
    if loaded.num_classes != len(names):
        raise InputError(
            f"{loaded.path} has {loaded.num_classes} classes{_some(loaded.labels)}, but "
            f"{data.source} has {len(names)}{_some(names)}. Give the data it was trained for."
        )
    if loaded.labels is None or loaded.labels == names:
        return data
    if set(loaded.labels) != set(names) or len(set(names)) < len(names):
        alone = [name for name in loaded.labels if name not in names]
        others = [name for name in names if name not in loaded.labels]
        raise InputError(
            f"{loaded.path} and {data.source} both have {len(names)} classes, but not the same: the "
            f"model alone has{_some(alone, '')}, the data alone{_some(others, '')}. Give the data it was "
            "trained for."
        )
    outputs = np.array([loaded.labels.index(name) for name in names], np.int64)
    return dataclasses.replace(data, labels=outputs[labels], class_names=loaded.labels)


def as_logits(
    answers: np.ndarray, path: Path
) -> tuple[np.ndarray, Literal["logits", "probabilities"]]:
    """Returns a model's answers as logits, and what they were.

    Probabilities are told by their values: a softmax may be an activation, a layer or an operation.
    Their logarithms are logits of the same softmax.

    Args:
        answers: [N, classes] float64.
        path: The model's file, for the message.

    Raises:
        InputError: If the answers are neither logits nor probabilities of one class each.
    """
    finite = answers[np.isfinite(answers).all(axis=1)]
    if not len(finite) or (finite < 0).any() or (finite > 1 + _SUM_TOLERANCE).any():
        return answers, "logits"
    if not np.allclose(finite.sum(axis=1), 1, rtol=0, atol=_SUM_TOLERANCE):
        if not finite.any() or answers.shape[1] == 1:
            return answers, "logits"
        raise InputError(
            f"{path} answers with numbers between 0 and 1 that do not sum to 1, as a sigmoid gives for "
            "each class on its own. What is evaluated is a model that names one class: its answers "
            "must be logits or a softmax."
        )
    with np.errstate(invalid="ignore"):
        logits = np.log(np.maximum(answers, np.finfo(np.float64).tiny))
    return np.where(np.isfinite(answers), logits, np.nan), "probabilities"


def print_evaluation(
    evaluation: CheckpointEvaluation, console: "Console", *, all_classes: bool = False
) -> None:
    """Prints the overall figures, and a table of all classes or the 20 of the lowest recall, worst first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    report = evaluation.report
    console.print(
        f"{evaluation.checkpoint}\non the {report.images} {evaluation.split} images of "
        f"{evaluation.source}\n",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
    figures = Table(box=None, show_header=False, pad_edge=False)
    figures.add_column()
    figures.add_column(justify="right")
    figures.add_row("top-1", f"{report.top1:.2%}")
    figures.add_row("top-5", f"{report.top5:.2%}")
    figures.add_row("loss", f"{report.loss:.4f}")
    figures.add_row("expected calibration error", f"{report.calibration_error:.2%}")
    if report.unanswered:
        figures.add_row("[red]NaN or infinite[/]", f"{report.unanswered} images")
    console.print(figures)

    rows = report.worst_classes()
    shown = rows if all_classes else rows[:_MOST_CLASSES_SHOWN]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class")
    for heading in ("images", "recall", "precision"):
        table.add_column(heading, justify="right")
    table.add_column("most often taken for")
    for row in shown:
        wrong = f"{row.taken_for} ({row.taken_for_images})" if row.taken_for else ""
        table.add_row(
            Text(row.name), str(row.images), _share(row.recall), _share(row.precision), Text(wrong)
        )
    console.print(table)
    if len(shown) < len(rows):
        console.print(
            f"The {len(shown)} worst of {len(rows)} classes; --all-classes shows them all.",
            highlight=False,
        )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _some(names: Any, opening: str = ":") -> str:
    """Returns the first names of many, after an opening."""
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{opening} {', '.join(names[:3])}{more}"


def _held_out_count(loaded: LoadedModel) -> int:
    recipe = loaded.card.get("recipe")
    count = recipe.get("validation_images") if isinstance(recipe, dict) else None
    if not isinstance(count, int) or count < 1:
        raise UsageError(
            f"{loaded.path} does not record which images its training held out, so there is no "
            "split validation. Evaluate on test or train."
        )
    return count


def _held_out(data: ImageDataset, loaded: LoadedModel, count: int, seed: int) -> ImageDataset:
    """Returns the images that the training of a checkpoint held out."""
    from training.loop import split_validation

    told = loaded.card.get("data")
    told = told if isinstance(told, dict) else {}
    used = told.get("training_images")
    if isinstance(used, int) and 0 < used < len(data):
        data = data.sample(used, seed)
    if "sha256" in told and told["sha256"] != data.sha256():
        raise InputError(
            f"{data.source} does not hold the training images that {loaded.path} was trained on: it "
            "cannot be told which of them were held out. Give the same data, or evaluate on test."
        )
    return split_validation(data, count, seed)[1]
