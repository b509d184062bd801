"""How far an artifact's answers are from those of the model it came from."""

import dataclasses
import math
from typing import Any

import numpy as np

from vitsd_export.errors import InputError, UsageError
from vitsd_export.measure.accuracy import count_top_k, top_k


@dataclasses.dataclass(frozen=True)
class Parity:
    """Comparison of an artifact's probabilities with the reference model's on the same images.

    Counts are kept beside the shares so that gates can be exact.

    Attributes:
        images: Number of images.
        max_abs_difference: Largest absolute difference of two probabilities; infinite if any is not
            finite.
        mean_abs_difference: Mean absolute difference of probabilities; infinite if any is not
            finite.
        top1_agreeing: Images on which both name the same class first: plain argmax, so that of
            exactly equal probabilities the lowest class counts. An image with NaN or infinity never
            agrees.
        top5_agreement: Mean share of the five most probable classes that both name, 0–1; None below
            five classes.
        reference_correct: Images the reference model classifies rightly; None without labels of
            these classes.
        artifact_correct: Images the artifact classifies rightly; None without labels of these
            classes.
        non_finite: Probabilities of either side that are NaN or infinite.
    """

    images: int
    max_abs_difference: float
    mean_abs_difference: float
    top1_agreeing: int
    top5_agreement: float | None
    reference_correct: int | None
    artifact_correct: int | None
    non_finite: int

    @property
    def finite(self) -> bool:
        """Whether all probabilities of both sides are finite."""
        return self.non_finite == 0

    @property
    def top1_agreement(self) -> float:
        """Share of images on which both name the same class first, 0–1."""
        return self.top1_agreeing / self.images

    @property
    def reference_top1(self) -> float | None:
        """Top-1 accuracy of the reference model, 0–1."""
        return None if self.reference_correct is None else self.reference_correct / self.images

    @property
    def artifact_top1(self) -> float | None:
        """Top-1 accuracy of the artifact, 0–1."""
        return None if self.artifact_correct is None else self.artifact_correct / self.images

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as plain data for JSON; one that is infinite is None."""
        return {
            "images": self.images,
            "max_abs_difference": _finite_or_none(self.max_abs_difference),
            "mean_abs_difference": _finite_or_none(self.mean_abs_difference),
            "top1_agreement": self.top1_agreement,
            "top5_agreement": self.top5_agreement,
            "reference_top1": self.reference_top1,
            "artifact_top1": self.artifact_top1,
            "finite": self.finite,
        }


def kl_divergences(reference_probabilities: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns the Kullback–Leibler divergence of each image's answer from the reference's, in nats.

    Sum over the classes of p·log(p/q), p the reference's, in float64. An answer that rounds to 0 would make
    it infinite, which integers do all the time: both are held at the least positive float32 number.

    Args:
        reference_probabilities: [N, classes] floats.
        probabilities: [N, classes] floats.

    Returns:
        [N] float64; NaN where an answer is not finite.
    """
    least = np.finfo(np.float32).tiny
    p = np.maximum(reference_probabilities.astype(np.float64), least)
    q = np.maximum(probabilities.astype(np.float64), least)
    with np.errstate(invalid="ignore"):
        # Both add up to 1 but for rounding, which 8-bit answers have plenty of.
        p, q = (side / side.sum(axis=1, keepdims=True) for side in (p, q))
        return (p * np.log(p / q)).sum(axis=1)


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def compare(
    reference_probabilities: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray | None = None,
) -> Parity:
    """Compares two sets of probabilities of the same images.

    Args:
        reference_probabilities: [N, classes] of the model the artifact came from.
        probabilities: [N, classes] of the artifact.
        labels: [N] integers; None if unknown. Labels outside the classes are those of other data,
            and no accuracy is taken.

    Raises:
        InputError: If the artifact has another number of classes than the reference.
        UsageError: If there are no images, or their numbers differ.
    """
    if reference_probabilities.ndim != 2 or probabilities.ndim != 2:
        raise UsageError(
            "Probabilities must be arrays of shape [N, classes], not "
            f"{list(reference_probabilities.shape)} and {list(probabilities.shape)}."
        )
    images, classes = reference_probabilities.shape
    if probabilities.shape[1] != classes:
        raise InputError(
            f"The artifact tells {probabilities.shape[1]} classes apart and the reference model "
            f"{classes}: it does not come from this model. Name the model it was exported from."
        )
    if len(probabilities) != images or not images:
        raise UsageError(
            f"Parity needs the answers to the same images, at least one; got {images} of the "
            f"reference model and {len(probabilities)} of the artifact."
        )
    reference = reference_probabilities.astype(np.float64)
    answers = probabilities.astype(np.float64)
    sound = np.isfinite(reference) & np.isfinite(answers)
    non_finite = int(
        np.count_nonzero(~np.isfinite(reference)) + np.count_nonzero(~np.isfinite(answers))
    )
    difference = np.abs(reference - answers) if not non_finite else np.array([math.inf])
    agreeing = (reference.argmax(axis=1) == answers.argmax(axis=1)) & sound.all(axis=1)
    reference_correct = artifact_correct = None
    if labels is not None and 0 <= labels.min(initial=0) <= labels.max(initial=0) < classes:
        reference_correct = count_top_k(reference, labels)
        artifact_correct = count_top_k(answers, labels)
    return Parity(
        images=images,
        max_abs_difference=float(difference.max()),
        mean_abs_difference=float(difference.mean()),
        top1_agreeing=int(np.count_nonzero(agreeing)),
        top5_agreement=_top5_agreement(reference, answers) if classes >= 5 else None,
        reference_correct=reference_correct,
        artifact_correct=artifact_correct,
        non_finite=non_finite,
    )


def _top5_agreement(reference: np.ndarray, answers: np.ndarray) -> float:
    first, second = top_k(reference, 5), top_k(answers, 5)
    common = (first[:, :, None] == second[:, None, :]).any(axis=2)
    return float(common.mean())
