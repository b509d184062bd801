"""Accuracy of probabilities against labels, and how sure it is."""

import math
import statistics

import numpy as np

from vitsd_export.errors import UsageError


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Returns the k classes of highest score of each row, [N, min(k, classes)] int64, the highest first.

    Of equal scores the lower class comes first, as `numpy.argmax` has it; NaN comes last.

    Args:
        scores: [N, classes] floats.
        k: At least 1.
    """
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def hits_top_k(probabilities: np.ndarray, labels: np.ndarray, k: int = 1) -> np.ndarray:
    """Returns whether the label of each image is among its k most probable classes, [N] bool.

    An image whose probabilities hold NaN or infinity counts as wrong.

    Args:
        probabilities: [N, classes] floats; logits do as well.
        labels: [N] integers.
        k: At least 1.

    Raises:
        UsageError: If the numbers of images and labels differ.
    """
    if labels.shape != probabilities.shape[:1]:
        raise UsageError(
            f"There are labels of shape {list(labels.shape)} for {len(probabilities)} images. "
            "Give one label for each image."
        )
    hits = (top_k(probabilities, k) == labels[:, None]).any(axis=1)
    return np.asarray(hits & np.isfinite(probabilities).all(axis=1))


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the Wilson score interval of a proportion, 0–1 (1927, doi:10.1080/01621459.1927.10502953).

    Args:
        correct: Images that were right.
        total: Images in all.
        confidence: Probability that the interval covers the true proportion.

    Raises:
        UsageError: If the counts or the confidence are impossible.
    """
    if not 0 <= correct <= total or total < 1 or not 0 < confidence < 1:
        raise UsageError(
            f"There is no interval for {correct} of {total} images at confidence {confidence}."
        )
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    share = correct / total
    scale = 1 + z * z / total
    centre = (share + z * z / (2 * total)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # At none and at all of the images an end is 0 or 1, which rounding would miss by a hair.
    low = centre - half if correct else 0.0
    high = centre + half if correct < total else 1.0
    return low, high


def paired_interval(
    lost: int, gained: int, total: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Returns an interval of the loss of accuracy between two models that saw the same images.

    The images that both name rightly or both wrongly say nothing of the difference, so the interval is far
    narrower than those of two accuracies. It is the adjusted Wald interval, which keeps its confidence at
    small counts as well (Bonett and Price, 2012, doi:10.3102/1076998611411915).

    Args:
        lost: Images that the first model alone names rightly.
        gained: Images that the second model alone names rightly.
        total: Images in all.
        confidence: Probability that the interval covers the true loss.

    Returns:
        Lower and upper end as shares of the images; negative for a gain.

    Raises:
        UsageError: If the counts or the confidence are impossible.
    """
    if min(lost, gained) < 0 or lost + gained > total or total < 1 or not 0 < confidence < 1:
        raise UsageError(
            f"There is no interval for {lost} lost and {gained} gained of {total} images at confidence "
            f"{confidence}."
        )
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    first, second = (lost + 1) / (total + 2), (gained + 1) / (total + 2)
    half = z * math.sqrt((first + second - (first - second) ** 2) / (total + 2))
    return first - second - half, first - second + half
