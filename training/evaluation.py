"""Loss and accuracy of a Keras model on a data set."""

import dataclasses

import keras
import numpy as np

from vitsd_export.data.dataset import ImageDataset


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
    """Scores a model that maps raw pixels to logits on every image of a labelled data set."""
    logits = model.predict(data.images.astype(np.float32), batch_size=batch_size, verbose=0)
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    of_label = log_probabilities[np.arange(len(data)), data.labels]
    rank = (log_probabilities > of_label[:, None]).sum(axis=1)
    return Evaluation(
        images=len(data),
        loss=float(-of_label.mean()),
        top1=float((rank == 0).mean()),
        top5=float((rank < 5).mean()),
    )
