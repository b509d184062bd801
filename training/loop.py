"""The training loop."""

import csv
import dataclasses
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from training.checkpoint import check_folder, load_checkpoint, make_folder, save_checkpoint, writing
from training.evaluation import evaluate
from training.optimizer import build_optimizer
from training.progress import EpochDisplay
from training.recipes import Recipe
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import InputError, VitsdExportError
from vitsd_export.model.classifier import build_classifier, set_normalization
from vitsd_export.model.config import ModelConfig


class TrainingDiverged(VitsdExportError):
    """The loss or a weight is no longer a number."""

    exit_code = 4


@dataclasses.dataclass(frozen=True)
class Trained:
    """Outcome of a run.

    Attributes:
        model: The model after the last epoch.
        log: One row an epoch: `epoch`, `loss` and `top1` of the augmented training images,
            `learning_rate`, `images_per_second`, `seconds`, and, where images are held out,
            `validation_loss` and `validation_top1`.
    """

    model: keras.Model
    log: list[dict[str, float]]


def split_validation(
    data: ImageDataset, count: int, seed: int
) -> tuple[ImageDataset, ImageDataset]:
    """Takes `count` images, chosen by the seed, out of a training set; at most a tenth of it."""
    order = np.random.default_rng((seed, len(data))).permutation(len(data))
    count = min(count, len(data) // 10)
    return data.subset(np.sort(order[count:])), data.subset(np.sort(order[:count]))


def _normalization_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Exact integer sums over the histogram of each channel: no float copy of the data set.
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(3)])
    values = np.arange(256)
    total = counts.sum(axis=1)
    mean = counts @ values / total
    return mean, counts @ values**2 / total - mean**2


def _write_log(path: Path, log: list[dict[str, float]]) -> None:
    temporary = path.with_suffix(".writing")
    with writing(path.parent):
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(log[0]))
            writer.writeheader()
            writer.writerows(log)
        os.replace(temporary, path)


def _check_fit(data: ImageDataset, config: ModelConfig) -> None:
    if data.labels is None or len(data.class_names) != config.num_classes:
        raise InputError(
            f"{data.source} has {len(data.class_names)} classes; the model has {config.num_classes}."
        )
    if data.images.shape[1:] != (config.input_size, config.input_size, 3):
        raise InputError(
            f"{data.source} has images of {data.images.shape[1:]}; the model takes "
            f"{config.input_size}×{config.input_size} RGB."
        )


def _compiled_model(
    config: ModelConfig, recipe: Recipe, images: np.ndarray, steps: int
) -> keras.Model:
    model = build_classifier(config)
    set_normalization(model, *_normalization_statistics(images))
    optimizer = build_optimizer(recipe.optimizer, epochs=recipe.epochs, steps_per_epoch=steps)
    # A checkpoint can be loaded only into an optimizer that has its slots.
    optimizer.build(model.trainable_variables)
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.loss.label_smoothing
        ),
        metrics=[keras.metrics.CategoricalAccuracy(name="top1")],
        jit_compile=_uses_xla(),
    )
    return model


def _uses_xla() -> bool:
    # XLA fuses LayerNorm, softmax and GELU: 1.2 times the steps of the plain graph on two cores.
    return keras.backend.backend() != "torch"


def _batches(
    data: ImageDataset, recipe: Recipe, seed: int, epoch: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the epoch's augmented images [batch, H, W, 3] and one-hot labels [batch, classes]."""
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(data))
    one_hot = np.eye(len(data.class_names), dtype=np.float32)
    for start in range(0, len(data) - recipe.batch_size + 1, recipe.batch_size):
        chosen = data.subset(order[start : start + recipe.batch_size])
        yield recipe.augmentation(chosen.images, rng), one_hot[chosen.labels]


def _train_epoch(
    model: keras.Model,
    data: ImageDataset,
    recipe: Recipe,
    *,
    seed: int,
    epoch: int,
    display: EpochDisplay,
) -> dict[str, float]:
    """Trains one epoch (counted from 0); returns its row of the log.

    Raises:
        TrainingDiverged: If the loss or a weight becomes NaN or infinite.
    """
    started = time.monotonic()
    loss = top1 = 0.0
    images = 0
    for step, (pixels, labels) in enumerate(_batches(data, recipe, seed, epoch), 1):
        figures = model.train_on_batch(pixels, labels, return_dict=True)
        model.reset_metrics()
        if not math.isfinite(figures["loss"]):
            raise TrainingDiverged(
                f"The loss became {figures['loss']} in epoch {epoch + 1}, step {step}."
            )
        loss += (float(figures["loss"]) - loss) / step
        top1 += (float(figures["top1"]) - top1) / step
        images += len(pixels)
        speed = images / (time.monotonic() - started)
        display.step(
            f"epoch {epoch + 1}/{recipe.epochs}",
            f"loss {loss:.3f} top-1 {top1:.3f} {speed:.0f} images/s",
        )
    # The loss of a step is that of the weights before it: it does not tell of the last step.
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise TrainingDiverged(f"Weights became NaN or infinite in epoch {epoch + 1}.")
    seconds = time.monotonic() - started
    return {
        "epoch": epoch + 1,
        "loss": loss,
        "top1": top1,
        "learning_rate": float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)),
        "images_per_second": images / seconds,
        "seconds": seconds,
    }


def train(
    config: ModelConfig,
    recipe: Recipe,
    data: ImageDataset,
    folder: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    stop_after: int | None = None,
    console: Console | None = None,
) -> Trained:
    """Trains a model from scratch, or goes on where a run stopped.

    The order of the images and their augmentation depend on the seed and the epoch alone, and the
    checkpoint holds the optimizer and the dropout seeds, so a resumed run ends like an unbroken one.

    Args:
        config: Architecture.
        recipe: Hyperparameters.
        data: Labelled training images; the recipe's validation images are taken out of them.
        folder: Where checkpoints and `log.csv` go.
        seed: Decides initial weights, image order, augmentation and the validation split.
        resume: Go on from the folder's checkpoint, if it has one.
        stop_after: End early after this many epochs in all; the schedule stays that of the recipe.
        console: Where progress is shown; standard error when None.

    Raises:
        UsageError: If the folder holds a run and `resume` is false, or a run with other options.
        InputError: If the data cannot train this model.
        TrainingDiverged: If the loss or a weight becomes NaN or infinite.
        EnvironmentProblem: If the folder cannot be written to, or the disk is full.
    """
    console = console or Console(stderr=True)
    _check_fit(data, config)
    training, validation = split_validation(data, recipe.validation_images, seed)
    steps = len(training) // recipe.batch_size
    if not steps:
        raise InputError(
            f"{data.source} has {len(training)} training images, fewer than a batch of "
            f"{recipe.batch_size}. Lower --batch-size."
        )
    check_folder(folder, resume=resume)
    make_folder(folder)
    keras.utils.set_random_seed(seed)
    model = _compiled_model(config, recipe, training.images, steps)
    configuration: dict[str, Any] = {
        "model": dataclasses.asdict(config),
        "recipe": recipe.to_dict(),
        "data": data.sha256(),
        "seed": seed,
    }
    log: list[dict[str, float]] = []
    if resume:
        state = load_checkpoint(folder, model, configuration)
        if state is None:
            console.print(
                f"{folder} holds no finished epoch; starting from scratch.", soft_wrap=True
            )
        else:
            log = state.log
            # A crash may have come between the checkpoint and the table.
            _write_log(folder / "log.csv", log)

    last_epoch = recipe.epochs if stop_after is None else min(stop_after, recipe.epochs)
    with EpochDisplay(console, steps=last_epoch * steps, done=len(log) * steps) as display:
        for epoch in range(len(log), last_epoch):
            try:
                row = _train_epoch(model, training, recipe, seed=seed, epoch=epoch, display=display)
            except TrainingDiverged as error:
                kept = f"The state after epoch {epoch} is kept in {folder}. " if epoch else ""
                raise TrainingDiverged(
                    f"{error} {kept}Lower --learning-rate and train into another folder."
                ) from error
            if len(validation):
                score = evaluate(model, validation)
                row |= {"validation_loss": score.loss, "validation_top1": score.top1}
            log.append(row)
            save_checkpoint(folder, model, configuration, log)
            _write_log(folder / "log.csv", log)
            display.epoch(row)
    return Trained(model, log)
