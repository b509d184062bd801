"""Loss and accuracy of a Keras model on a data set."""

import dataclasses

import keras
import numpy as np

from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import InputError


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model scores.

    Attributes:
        images: Number of images.
        loss: Mean cross-entropy, in nats.
        top1: Share of images whose most probable class is the label.
        top5: Share of images whose label is among the five most probable classes.
    """

    images: int
    loss: float
    top1: float
    top5: float


def evaluate(model: keras.Model, data: ImageDataset, batch_size: int = 250) -> Evaluation:
    """Scores a model that maps raw pixels to logits on every image of a labelled data set.

    Args:
        model: Maps [N, size, size, 3] float32 pixels to [N, classes] logits.
        data: Images of that size with their labels; at least one.
        batch_size: Images in a call of the model.

    Raises:
        InputError: If there are no images or no labels.
    """
    if data.labels is None or not len(data):
        raise InputError(f"{data.source} has no labelled images to evaluate on.")
    logits = model.predict(data.images.astype(np.float32), batch_size=batch_size, verbose=0)
    return score_logits(np.asarray(logits, np.float64), data.labels)


def score_logits(logits: np.ndarray, labels: np.ndarray) -> Evaluation:
    """Scores answers.

    Of equal logits the lower class comes first, so that a model which tells nothing scores as a guess;
    an image whose logits hold NaN or infinity counts as wrong.

    Args:
        logits: [N, classes] floats; N at least 1.
        labels: [N] integers.
    """
    sound = np.isfinite(logits).all(axis=1)
    with np.errstate(invalid="ignore"):
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    of_label = logits[np.arange(len(labels)), labels][:, None]
    is_before = np.arange(logits.shape[1]) < labels[:, None]
    rank = ((logits > of_label) | ((logits == of_label) & is_before)).sum(axis=1)
    return Evaluation(
        images=len(labels),
        loss=float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        top1=float((sound & (rank == 0)).mean()),
        top5=float((sound & (rank < 5)).mean()),
    )
