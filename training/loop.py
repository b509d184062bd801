"""The training loop."""

import csv
import dataclasses
import math
import os
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from training.checkpoint import load_checkpoint, save_checkpoint
from training.evaluation import evaluate
from training.optimizer import build_optimizer
from training.recipes import Recipe
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import InputError, UsageError, VitsdExportError
from vitsd_export.model.classifier import build_classifier, set_normalization
from vitsd_export.model.config import ModelConfig


class TrainingDiverged(VitsdExportError):
    """The loss is no longer a number."""

    exit_code = 4


@dataclasses.dataclass(frozen=True)
class Trained:
    """Outcome of a run.

    Attributes:
        model: The model after the last epoch.
        log: One row an epoch: `epoch`, `loss`, `top1`, `validation_loss`, `validation_top1`,
            `learning_rate`, `images_per_second`, `seconds`.
    """

    model: keras.Model
    log: list[dict[str, float]]


def split_validation(data: ImageDataset, count: int, seed: int) -> tuple[ImageDataset, ImageDataset]:
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
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(log[0]))
        writer.writeheader()
        writer.writerows(log)
    os.replace(temporary, path)


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
        TrainingDiverged: If the loss becomes NaN or infinite.
    """
    console = console or Console(stderr=True)
    if data.labels is None or len(data.class_names) != config.num_classes:
        raise InputError(
            f"{data.source} has {len(data.class_names)} classes; the model has {config.num_classes}."
        )
    if data.images.shape[1:] != (config.input_size, config.input_size, 3):
        raise InputError(
            f"{data.source} has images of {data.images.shape[1:]}; the model takes "
            f"{config.input_size}×{config.input_size} RGB."
        )
    training, validation = split_validation(data, recipe.validation_images, seed)
    steps = len(training) // recipe.batch_size
    if not steps:
        raise InputError(
            f"{data.source} has {len(training)} training images, fewer than a batch of "
            f"{recipe.batch_size}. Lower --batch-size."
        )

    keras.utils.set_random_seed(seed)
    model = build_classifier(config)
    set_normalization(model, *_normalization_statistics(training.images))
    optimizer = build_optimizer(recipe.optimizer, epochs=recipe.epochs, steps_per_epoch=steps)
    optimizer.build(model.trainable_variables)
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.loss.label_smoothing
        ),
        metrics=[keras.metrics.CategoricalAccuracy(name="top1")],
        # XLA fuses LayerNorm, softmax and GELU: 1.2 times the steps of the plain graph on two cores.
        jit_compile=keras.backend.backend() != "torch",
    )

    configuration: dict[str, Any] = {
        "model": dataclasses.asdict(config),
        "recipe": recipe.to_dict(),
        "data": data.sha256(),
        "seed": seed,
    }
    folder.mkdir(parents=True, exist_ok=True)
    if not resume and (folder / "state.json").exists():
        raise UsageError(
            f"{folder} already holds a run. Continue it with --resume, or train into another folder."
        )
    state = load_checkpoint(folder, model, configuration) if resume else None
    log = state.log if state else []

    one_hot = np.eye(config.num_classes, dtype=np.float32)
    last_epoch = recipe.epochs if stop_after is None else min(stop_after, recipe.epochs)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    )
    with progress:
        bar = progress.add_task(
            "training", total=last_epoch * steps, completed=len(log) * steps, figures=""
        )
        for epoch in range(len(log), last_epoch):
            rng = np.random.default_rng((seed, epoch))
            order = rng.permutation(len(training))[: steps * recipe.batch_size]
            started = time.monotonic()
            loss = top1 = 0.0
            for step, chosen in enumerate(order.reshape(steps, recipe.batch_size)):
                images = recipe.augmentation(training.images[chosen], rng)
                labels = one_hot[training.labels[chosen]]  # type: ignore[index]
                figures = model.train_on_batch(images, labels, return_dict=True)
                model.reset_metrics()
                if not math.isfinite(figures["loss"]):
                    raise TrainingDiverged(
                        f"The loss became {figures['loss']} in epoch {epoch + 1}, step {step + 1}. "
                        f"The state after epoch {epoch} is in {folder}. Lower the learning rate."
                    )
                loss += (figures["loss"] - loss) / (step + 1)
                top1 += (figures["top1"] - top1) / (step + 1)
                speed = (step + 1) * recipe.batch_size / (time.monotonic() - started)
                progress.update(
                    bar,
                    advance=1,
                    description=f"epoch {epoch + 1}/{recipe.epochs}",
                    figures=f"loss {loss:.3f} top-1 {top1:.3f} "
                    f"{speed:.0f} images/s",
                )
            seconds = time.monotonic() - started
            row = {
                "epoch": epoch + 1,
                "loss": float(loss),
                "top1": float(top1),
                "learning_rate": float(keras.ops.convert_to_numpy(optimizer.learning_rate)),
                "images_per_second": steps * recipe.batch_size / seconds,
                "seconds": seconds,
            }
            if len(validation):
                score = evaluate(model, validation)
                row |= {"validation_loss": score.loss, "validation_top1": score.top1}
            log.append(row)
            save_checkpoint(folder, model, configuration, log)
            _write_log(folder / "log.csv", log)
            if not console.is_terminal:
                console.print(
                    " ".join(f"{k}={v:.6g}" for k, v in row.items()), highlight=False, soft_wrap=True
                )
    return Trained(model, log)
