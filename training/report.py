"""What a classifier does well and what it takes for what: figures from its answers."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from training.evaluation import Evaluation, score_logits

_BINS = 15


@dataclasses.dataclass(frozen=True)
class ClassReport:
    """How a classifier treats one class.

    Attributes:
        name: The class.
        images: Number of images of it.
        recall: Share of these that are taken for it: the accuracy on this class. None without images.
        precision: Share of the images taken for it that are of it. None if none is taken for it.
        taken_for: The other class its images are most often taken for, the first of several; None if
            none of them is.
        taken_for_images: Number of its images that are.
        unanswered: Number of its images whose logits hold NaN or infinity.
    """

    name: str
    images: int
    recall: float | None
    precision: float | None
    taken_for: str | None
    taken_for_images: int
    unanswered: int


@dataclasses.dataclass(frozen=True, eq=False)
class Report(Evaluation):
    """What a classifier scores, in all and class by class.

    An image whose logits hold NaN or infinity is unanswered: it counts as wrong in every accuracy, and
    in no column of the confusion matrix, whose row then sums to less than the class's images.

    Attributes:
        calibration_error: Expected calibration error over the answered images, 0–1; NaN without any.
        unanswered: Number of images whose logits hold NaN or infinity.
        classes: One row a class, in the order of the labels.
        confusion: [classes, classes] int64, images by label (row) and answer (column).
    """

    calibration_error: float
    unanswered: int
    classes: tuple[ClassReport, ...]
    confusion: np.ndarray

    def worst_classes(self) -> list[ClassReport]:
        """Returns the classes, that of the lowest recall first; those without images come last."""
        return sorted(self.classes, key=lambda row: math.inf if row.recall is None else row.recall)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON; what is not a finite number is None."""
        return {
            "images": self.images,
            "loss": _finite(self.loss),
            "top1": _finite(self.top1),
            "top5": _finite(self.top5),
            "expected_calibration_error": _finite(self.calibration_error),
            "unanswered": self.unanswered,
            "classes": [dataclasses.asdict(row) for row in self.classes],
            "confusion_matrix": self.confusion.tolist(),
        }


def report_logits(logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Report:
    """Scores answers in all and class by class; of equal logits the lower class is the answer.

    Args:
        logits: [N, classes] floats; N at least 1.
        labels: [N] integers.
        class_names: Name of each class, in the order of the logits.
    """
    count = len(class_names)
    score = score_logits(logits, labels)
    answered = np.isfinite(logits).all(axis=1)
    answers = np.argmax(logits[answered], axis=1)
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (labels[answered], answers), 1)
    return Report(
        **dataclasses.asdict(score),
        calibration_error=calibration_error(logits[answered], labels[answered]),
        unanswered=int(np.count_nonzero(~answered)),
        classes=_class_reports(confusion, np.bincount(labels, minlength=count), class_names),
        confusion=confusion,
    )


def calibration_error(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the expected calibration error, 0–1; NaN without images.

    The highest probability of each answer is sorted into bins of equal width, open below and closed
    above; in each the mean of these probabilities is compared with the share of right answers. Guo et
    al., "On Calibration of Modern Neural Networks", 2017, arXiv:1706.04599, equations 2, 3 and 5.

    Args:
        logits: [N, classes] finite floats.
        labels: [N] integers.
    """
    if not len(logits):
        return math.nan
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    # The highest probability: its power is 1.
    confidence = 1 / powers.sum(axis=1)
    correct = np.argmax(logits, axis=1) == labels
    chosen = np.clip(np.ceil(confidence * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
    gap = np.bincount(chosen, correct - confidence, minlength=_BINS)
    return float(np.abs(gap).sum() / len(logits))


def _class_reports(
    confusion: np.ndarray, images: np.ndarray, class_names: Sequence[str]
) -> tuple[ClassReport, ...]:
    rows = []
    for label, name in enumerate(class_names):
        right, taken = int(confusion[label, label]), int(confusion[:, label].sum())
        wrong = confusion[label].copy()
        wrong[label] = 0
        other = int(wrong.argmax())
        rows.append(
            ClassReport(
                name=name,
                images=int(images[label]),
                recall=right / int(images[label]) if images[label] else None,
                precision=right / taken if taken else None,
                taken_for=class_names[other] if wrong[other] else None,
                taken_for_images=int(wrong[other]),
                unanswered=int(images[label] - confusion[label].sum()),
            )
        )
    return tuple(rows)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
