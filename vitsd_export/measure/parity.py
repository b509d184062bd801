"""How far an artifact's answers are from those of the model it came from."""

import dataclasses
import math
from typing import Any

import numpy as np

from vitsd_export.errors import InputError, UsageError
from vitsd_export.measure.accuracy import hits_top_k, top_k

# Between the reference's two most probable classes. Below it rounding decides which of them is named, and a
# model that is unsure has many such images.
SURE_MARGIN = 0.1
_STEP_OF_8_BITS = 1 / 256


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
        kl: Mean Kullback–Leibler divergence of the answers from the reference's, in nats; infinite if any
            is not finite. Of answers that are in 8 bits, what is beyond the divergence of the reference's own
            answers rounded to 8 bits: where a hundred classes share them, that is most of it.
        top1_agreeing: Images on which both name the same class first: plain argmax, so that of
            exactly equal probabilities the lowest class counts. An image with NaN or infinity never
            agrees.
        sure: Images on which the reference's two most probable classes are at least `SURE_MARGIN` apart.
        sure_agreeing: Those of them on which both name the same class first.
        top5_agreement: Mean share of the five most probable classes that both name, 0–1; None below
            five classes.
        reference_correct: Images the reference model classifies rightly; None without labels of
            these classes.
        lost: Those of them that the artifact classifies wrongly; None without labels of these classes.
        gained: Images the artifact alone classifies rightly; None without labels of these classes.
        non_finite: Probabilities of either side that are NaN or infinite.
    """

    images: int
    max_abs_difference: float
    mean_abs_difference: float
    kl: float
    top1_agreeing: int
    sure: int
    sure_agreeing: int
    top5_agreement: float | None
    reference_correct: int | None
    lost: int | None
    gained: int | None
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
        if self.reference_correct is None or self.lost is None or self.gained is None:
            return None
        return (self.reference_correct - self.lost + self.gained) / self.images

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as plain data for JSON; one that is infinite is None."""
        return {
            "images": self.images,
            "max_abs_difference": _finite_or_none(self.max_abs_difference),
            "mean_abs_difference": _finite_or_none(self.mean_abs_difference),
            "kl": _finite_or_none(self.kl),
            "top1_agreement": self.top1_agreement,
            "sure": self.sure,
            "sure_agreeing": self.sure_agreeing,
            "top5_agreement": self.top5_agreement,
            "reference_top1": self.reference_top1,
            "artifact_top1": self.artifact_top1,
            "lost": self.lost,
            "gained": self.gained,
            "finite": self.finite,
        }


def kl_divergences(reference_probabilities: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns the Kullback–Leibler divergence of each answer from the reference's, [N] float64, in nats.

    Sum over the classes of p·log(p/q), p the reference's, in float64; NaN where an answer is not finite. An
    answer that rounds to 0 would make it infinite, which integers do all the time: it counts as what the
    reference answers on average where the artifact answers 0, and at most as half a step, the step being the
    least positive answer of all, or that of 8 bits if this is smaller.

    Args:
        reference_probabilities: [N, classes] floats.
        probabilities: [N, classes] floats.
    """
    least = float(np.finfo(np.float32).tiny)
    p = np.maximum(reference_probabilities.astype(np.float64), least)
    q = probabilities.astype(np.float64)
    step = float(q.min(initial=math.inf, where=q > 0))
    nothing = q <= 0
    if nothing.any():
        q[nothing] = max(least, min(float(p[nothing].mean()), min(step, _STEP_OF_8_BITS) / 2))
    with np.errstate(invalid="ignore"):
        # Both add up to 1 but for rounding, which 8-bit answers have plenty of.
        p, q = (side / side.sum(axis=1, keepdims=True) for side in (p, q))
        divergence: np.ndarray = (p * np.log(p / q)).sum(axis=1)
    return divergence


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def compare(
    reference_probabilities: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray | None = None,
) -> Parity:
    """Compares two sets of probabilities, [N, classes], of the same images.

    Args:
        reference_probabilities: Of the model the artifact came from.
        probabilities: Of the artifact.
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
            f"The artifact has {probabilities.shape[1]} classes and the reference model "
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
    ordered = np.sort(reference, axis=1)[:, -2:]
    with np.errstate(invalid="ignore"):
        sure = ordered[:, -1] - ordered[:, 0] >= SURE_MARGIN
    reference_correct = lost = gained = None
    if labels is not None and 0 <= labels.min(initial=0) <= labels.max(initial=0) < classes:
        before, after = hits_top_k(reference, labels), hits_top_k(answers, labels)
        reference_correct = _count(before)
        lost, gained = _count(before & ~after), _count(after & ~before)
    return Parity(
        images=images,
        max_abs_difference=float(difference.max()),
        mean_abs_difference=float(difference.mean()),
        kl=_divergence(reference, answers) if not non_finite else math.inf,
        top1_agreeing=_count(agreeing),
        sure=_count(sure),
        sure_agreeing=_count(sure & agreeing),
        top5_agreement=_top5_agreement(reference, answers) if classes >= 5 else None,
        reference_correct=reference_correct,
        lost=lost,
        gained=gained,
        non_finite=non_finite,
    )


def _divergence(reference: np.ndarray, answers: np.ndarray) -> float:
    divergence = kl_divergences(reference, answers).mean()
    if np.array_equal(answers, _in_8_bits(answers)):
        rounding = kl_divergences(reference, _in_8_bits(reference)).mean()
        divergence = np.maximum(divergence - rounding, 0)
    return float(divergence)


def _in_8_bits(probabilities: np.ndarray) -> np.ndarray:
    return np.minimum(np.round(probabilities / _STEP_OF_8_BITS), 255) * _STEP_OF_8_BITS


def _count(images: np.ndarray) -> int:
    return int(np.count_nonzero(images))


def _top5_agreement(reference: np.ndarray, answers: np.ndarray) -> float:
    first, second = top_k(reference, 5), top_k(answers, 5)
    common = (first[:, :, None] == second[:, None, :]).any(axis=2)
    return float(common.mean())
