"""Loss and accuracy of a Keras model on a data set."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import InputError

if TYPE_CHECKING:
    # At run time only for a model that is there already: figures alone need no Keras.
    import keras

BATCH_SIZE = 250
"""It divides CIFAR's 10,000 test images: nothing is padded."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model scores.

    Attributes:
        images: Number of images.
        loss: Mean cross-entropy, in nats; NaN or infinite if a logit is.
        top1: Share of images whose most probable class is the label.
        top5: Share of images whose label is among the five most probable classes.
    """

    images: int
    loss: float
    top1: float
    top5: float


def evaluate(model: "keras.Model", data: ImageDataset) -> Evaluation:
    """Scores a model on every image of a labelled data set; see `predict_logits`.

    Raises:
        InputError: If there are no images or no labels.
    """
    labels = require_labels(data)
    return score_logits(predict_logits(model, data.images), labels)


def require_labels(data: ImageDataset) -> np.ndarray:
    """Returns the labels, [N] int64, of a data set that a model can be scored on.

    Raises:
        InputError: If there are no images or no labels.
    """
    if data.labels is None or not len(data):
        raise InputError(f"{data.source} has no labelled images to evaluate on.")
    return data.labels


def predict_logits(
    model: "keras.Model", images: np.ndarray, batch_size: int = BATCH_SIZE
) -> np.ndarray:
    """Asks a model about images, in inference mode.

    All calls have one shape, so that the model is compiled once: the last batch is filled up with
    images from the start of the set, whose second answers are dropped. Pixels become floats batch by
    batch. Where the model runs on several devices, each answers its share of a batch.

    Args:
        model: Maps [N, size, size, 3] float32 pixels to [N, classes].
        images: [N, size, size, 3] uint8 or float, pixels 0–255.
        batch_size: Images in a call, rounded up to a multiple of the number of devices; fewer where there
            are fewer images.

    Returns:
        [N, classes] float64.
    """
    devices, share = _sharing(model)
    count = len(images)
    if not count:
        return np.empty((0, int(model.outputs[0].shape[-1])))
    size = math.ceil(min(batch_size, count) / devices) * devices
    answers = []
    for start in range(0, count, size):
        chosen = np.arange(start, start + size) % count
        batch = share(images[chosen].astype(np.float32))
        answers.append(np.asarray(model.predict_on_batch(batch), np.float64))
    return np.concatenate(answers)[:count]


def _sharing(model: "keras.Model") -> tuple[int, Callable[[np.ndarray], Any]]:
    """Returns the number of devices a model runs on, and what spreads a batch over them.

    `predict_on_batch` itself does not: on `tf.distribute` it would have every replica answer the whole batch.
    """
    import keras

    # Of `tf.distribute`: the strategy that the model was made in.
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is not None and strategy.num_replicas_in_sync > 1:
        count = int(strategy.num_replicas_in_sync)

        def share(batch: np.ndarray) -> Any:
            shares = np.split(batch, count)
            return strategy.experimental_distribute_values_from_function(
                lambda context: keras.ops.convert_to_tensor(
                    shares[context.replica_id_in_sync_group]
                )
            )

        return count, share
    distribution = keras.distribution.distribution()
    if not isinstance(distribution, keras.distribution.DataParallel):
        return 1, lambda batch: batch
    return int(
        math.prod(distribution.device_mesh.shape)
    ), lambda batch: keras.distribution.distribute_tensor(
        batch, distribution.get_data_layout(batch.shape)
    )


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
