"""The training loop."""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from training.augmentation.draws import draw_epoch
from training.checkpoint import (
    best_path,
    check_folder,
    load_checkpoint,
    load_weights,
    make_folder,
    save_checkpoint,
    save_weights,
)
from training.engines import Engine, create_engine
from training.engines.devices import Devices, choose_devices
from training.engines.program import Program
from training.evaluation import evaluate, require_labels
from training.event_log import EventLog
from training.optimizer import build_optimizer
from training.precision import Precision, policy
from training.progress import EpochDisplay
from training.recipes import Recipe
from training.run_log import best_epoch, write_log
from training.writing import write_text
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import InputError, VitsdExportError
from vitsd_export.model.classifier import build_classifier, set_normalization
from vitsd_export.model.config import ModelConfig

# Often enough to watch, seldom enough to cost nothing.
_REPORTS_PER_EPOCH = 100


class TrainingDiverged(VitsdExportError):
    """The loss or a weight is no longer a number."""

    exit_code = 4


@dataclasses.dataclass(frozen=True)
class Trained:
    """Outcome of a run.

    Attributes:
        model: The model with the weights of the best epoch, float32, for inference.
        log: One row an epoch: `epoch`, `loss` and `top1` of the augmented and mixed training images,
            `learning_rate`, `images_per_second`, `seconds`, and, where images are held out,
            `validation_loss` and `validation_top1`.
        held_out: Number of validation images.
        devices: Number of devices that shared each batch.
    """

    model: keras.Model
    log: list[dict[str, float]]
    held_out: int
    devices: int

    @property
    def best_epoch(self) -> int:
        """Epoch, from 1, whose weights these are; 0 before the first."""
        return best_epoch(self.log)


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


@dataclasses.dataclass(frozen=True)
class _Run:
    """What the epochs of a run share.

    Attributes:
        program: Training model, optimizer and recipe.
        engine: Runs the steps.
        inference: The same network in float32 without dropout: it is validated and kept.
        images: Number of training images.
        seed: Seed of the run.
        devices: What it runs on.
    """

    program: Program
    engine: Engine
    inference: keras.Model
    images: int
    seed: int
    devices: Devices

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.images // self.program.recipe.batch_size


def _prepare(
    config: ModelConfig,
    recipe: Recipe,
    training: ImageDataset,
    *,
    seed: int,
    devices: Devices,
    precision: Precision,
) -> _Run:
    statistics = _normalization_statistics(training.images)
    keras.utils.set_random_seed(seed)
    with devices.scope():
        with policy(precision):
            model = build_classifier(config, drop_path=recipe.regularization.drop_path)
        set_normalization(model, *statistics)
        optimizer = build_optimizer(
            recipe.optimizer,
            epochs=recipe.epochs,
            steps_per_epoch=len(training) // recipe.batch_size,
        )
        # A checkpoint can be loaded only into an optimizer that has its slots.
        optimizer.build(model.trainable_variables)
        # So that `save_weights` writes the optimizer too.
        model.compile(optimizer)
    inference = build_classifier(config)
    set_normalization(inference, *statistics)
    program = Program(model, optimizer, recipe)
    engine = create_engine(program, training.images, require_labels(training), devices)
    return _Run(program, engine, inference, len(training), seed, devices)


def _train_epoch(run: _Run, epoch: int, display: EpochDisplay) -> dict[str, float]:
    """Trains one epoch (counted from 0); returns its row of the log.

    Raises:
        TrainingDiverged: If the loss or a weight becomes NaN or infinite.
    """
    recipe, model = run.program.recipe, run.program.model
    started = time.monotonic()
    size = model.input_shape[1]
    run.engine.begin(draw_epoch(recipe, count=run.images, size=size, seed=run.seed, epoch=epoch))

    def show(done: int, handle: Any) -> tuple[float, float]:
        total_loss, total_right = run.engine.figures(handle)
        images = done * recipe.batch_size
        loss, top1 = total_loss / images, total_right / images
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"The loss became {loss} in epoch {epoch + 1}, at step {done} or before."
            )
        speed = images / (time.monotonic() - started)
        display.steps(
            epoch * run.steps + done,
            f"epoch {epoch + 1}/{recipe.epochs}",
            f"loss {loss:.3f} top-1 {top1:.3f} {speed:.0f} images/s",
        )
        return loss, top1

    every = max(1, run.steps // _REPORTS_PER_EPOCH)
    waiting: tuple[int, Any] | None = None
    for step in range(1, run.steps + 1):
        handle = run.engine.step(step - 1)
        if step % every == 0:
            # One report late, so that the device always has steps in its queue.
            if waiting is not None:
                show(*waiting)
            waiting = (step, handle)
    loss, top1 = show(run.steps, handle)
    run.engine.finish()
    # The loss of a step is that of the weights before it: it does not tell of the last step.
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise TrainingDiverged(f"Weights became NaN or infinite in epoch {epoch + 1}.")
    seconds = time.monotonic() - started
    rate = keras.ops.convert_to_numpy(run.program.optimizer.learning_rate)
    return {
        "epoch": epoch + 1,
        "loss": loss,
        "top1": top1,
        "learning_rate": float(rate),
        "images_per_second": run.steps * recipe.batch_size / seconds,
        "seconds": seconds,
    }


def _copy_weights(run: _Run) -> None:
    """Puts the training model's weights, averaged where the recipe averages, into the inference model."""
    model = run.program.model
    if not run.program.recipe.optimizer.ema_decay:
        _assign(run.inference.trainable_variables, _values(model.trainable_variables))
        return
    kept = _values(model.trainable_variables)
    run.program.optimizer.finalize_variable_values(model.trainable_variables)
    _assign(run.inference.trainable_variables, _values(model.trainable_variables))
    _assign(model.trainable_variables, kept)


def _values(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def _assign(variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def train(
    config: ModelConfig,
    recipe: Recipe,
    data: ImageDataset,
    folder: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    stop_after: int | None = None,
    devices: int | None = None,
    precision: Precision = "float32",
    console: Console | None = None,
) -> Trained:
    """Trains a model from scratch, or goes on where a run stopped.

    The order of the images and their augmentation depend on the seed and the epoch alone, and the
    checkpoint holds the optimizer and the dropout seeds, so a resumed run ends like an unbroken one.

    Args:
        config: Architecture.
        recipe: Hyperparameters.
        data: Labelled training images; the recipe's validation images are taken out of them.
        folder: Where checkpoints, `log.csv`, `recipe.toml` and TensorBoard's events go.
        seed: Decides initial weights, image order, augmentation and the validation split.
        resume: Go on from the folder's checkpoint, if it has one.
        stop_after: End early after this many epochs in all; the schedule stays that of the recipe.
        devices: How many devices share each batch; all that can share it evenly when None.
        precision: In what the products are computed; weights are float32.
        console: Where progress is shown; standard error when None.

    Raises:
        UsageError: If the folder holds a run and `resume` is false, or a run with other options, or a batch
            cannot be shared evenly.
        InputError: If the data cannot train this model.
        TrainingDiverged: If the loss or a weight becomes NaN or infinite.
        EnvironmentProblem: If the folder cannot be written to, the disk is full, or devices are missing.
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
    # Images are mixed in pairs.
    together = 2 if recipe.mixing.probability else 1
    chosen = choose_devices(devices, recipe.batch_size, together=together)
    check_folder(folder, resume=resume)
    make_folder(folder)
    run = _prepare(config, recipe, training, seed=seed, devices=chosen, precision=precision)
    configuration: dict[str, Any] = {
        "model": dataclasses.asdict(config),
        "recipe": recipe.to_dict(),
        "data": data.sha256(),
        "seed": seed,
        "precision": precision,
    }
    log: list[dict[str, float]] = []
    if resume:
        state = load_checkpoint(folder, run.program.model, configuration)
        if state is None:
            console.print(
                f"{folder} holds no finished epoch; starting from scratch.", soft_wrap=True
            )
        else:
            log = state.log
            # A crash may have come between the checkpoint and the table.
            write_log(folder / "log.csv", log)
    write_text(folder / "recipe.toml", recipe.to_toml())

    last_epoch = recipe.epochs if stop_after is None else min(stop_after, recipe.epochs)
    with (
        EpochDisplay(console, steps=last_epoch * steps, done=len(log) * steps) as display,
        EventLog(folder, log) as events,
    ):
        for epoch in range(len(log), last_epoch):
            try:
                row = _train_epoch(run, epoch, display)
            except TrainingDiverged as error:
                kept = f"The state after epoch {epoch} is kept in {folder}. " if epoch else ""
                raise TrainingDiverged(
                    f"{error} {kept}Lower --learning-rate and train into another folder."
                ) from error
            _copy_weights(run)
            if len(validation):
                score = evaluate(run.inference, validation)
                row |= {"validation_loss": score.loss, "validation_top1": score.top1}
            log.append(row)
            if best_epoch(log) == epoch + 1:
                save_weights(run.inference, best_path(folder, epoch + 1))
            save_checkpoint(folder, run.program.model, configuration, log)
            write_log(folder / "log.csv", log)
            events.write(row)
            display.epoch(row)
    if log:
        load_weights(run.inference, best_path(folder, best_epoch(log)))
    return Trained(run.inference, log, len(validation), chosen.count)
