"""Parity and accuracy of a candidate's answers, as the figures of a row."""

import base64
import io
from collections.abc import Sequence

import numpy as np

from vitsd_export.data.dataset import ImageDataset
from vitsd_export.measure.accuracy import hits_top_k, wilson_interval
from vitsd_export.measure.benchmark.results import (
    AccuracyFigures,
    ClassAccuracy,
    Interval,
    ParityFigures,
    WorstImage,
)
from vitsd_export.measure.parity import compare, kl_divergences

_CLASSES_FOR_TOP5 = 5


def parity_figures(
    reference: np.ndarray,
    answers: np.ndarray,
    images: ImageDataset,
    class_names: Sequence[str],
    worst: int,
) -> ParityFigures:
    """Compares answers with the reference's, both [N, classes] float32 probabilities of the images.

    Args:
        worst: How many of the images with the largest difference are kept.

    Raises:
        InputError: If the numbers of classes differ.
        UsageError: If the numbers of images differ, or there are none.
    """
    parity = compare(reference, answers)
    divergences = kl_divergences(reference, answers)
    finite = parity.finite
    return ParityFigures(
        images=parity.images,
        max_abs_difference=parity.max_abs_difference if finite else None,
        mean_abs_difference=parity.mean_abs_difference if finite else None,
        top1_agreement=parity.top1_agreement,
        top5_agreement=parity.top5_agreement,
        kl=float(divergences.mean()) if finite else None,
        worst=_worst_images(reference, answers, divergences, images, class_names, worst),
    )


def _worst_images(
    reference: np.ndarray,
    answers: np.ndarray,
    divergences: np.ndarray,
    images: ImageDataset,
    class_names: Sequence[str],
    count: int,
) -> tuple[WorstImage, ...]:
    differences = np.abs(reference.astype(np.float64) - answers).max(axis=1)
    # An answer that is not a number is an error of the whole row, and has no place in an order.
    sound = np.flatnonzero(np.isfinite(differences))
    order = sound[np.argsort(-differences[sound], kind="stable")][:count]
    found = []
    for index in order:
        said, meant = int(answers[index].argmax()), int(reference[index].argmax())
        label = None if images.labels is None else images.class_names[int(images.labels[index])]
        found.append(
            WorstImage(
                index=int(index),
                max_abs_difference=float(differences[index]),
                kl=float(divergences[index]),
                label=label,
                reference_label=class_names[meant],
                reference_probability=float(reference[index, meant]),
                answer_label=class_names[said],
                answer_probability=float(answers[index, said]),
                thumbnail=encode_png(images.images[index]),
            )
        )
    return tuple(found)


def encode_png(image: np.ndarray) -> str:
    """Returns an image, [height, width, 3] uint8, as a PNG file in base64."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def accuracy_figures(answers: np.ndarray, images: ImageDataset) -> AccuracyFigures:
    """Returns the accuracy of answers, overall and by class.

    Args:
        answers: [N, classes] float32 probabilities; N at least 1.
        images: With labels, which are those of the model's classes.
    """
    labels = images.labels if images.labels is not None else np.empty(0, np.int64)
    hits = hits_top_k(answers, labels)
    classes = []
    for index, name in enumerate(images.class_names):
        here = hits[labels == index]
        if len(here):
            classes.append(ClassAccuracy(name, len(here), _share(here)))
    few = answers.shape[1] < _CLASSES_FOR_TOP5
    return AccuracyFigures(
        images=len(labels),
        top1=_share(hits),
        top5=None if few else _share(hits_top_k(answers, labels, 5)),
        classes=tuple(classes),
    )


def _share(hits: np.ndarray) -> Interval:
    correct, total = int(hits.sum()), len(hits)
    return Interval(correct / total, *wilson_interval(correct, total))
