"""One stage of a run: the network at one image size, its optimizer, and what the epochs share."""

import dataclasses
import math
import time
from typing import Any

import keras
import numpy as np
from rich.progress import Progress

from training.engines import Engine, create_engine
from training.engines.devices import Devices
from training.engines.program import Program
from training.networks import build_for_inference, build_for_training
from training.optimizer import build_optimizer
from training.precision import Precision, policy
from training.presets import Config, ResidualConfig
from training.recipes import Recipe, Stage
from training.teaching import Lessons
from training.transfer import freeze_encoder, transfer_weights
from vitsd_export.errors import UsageError, VitsdExportError
from vitsd_export.model.classifier import NORMALIZATION, set_normalization
from vitsd_export.model.config import ModelConfig

# Often enough to watch, seldom enough to cost nothing.
_REPORTS_PER_EPOCH = 100


class TrainingDiverged(VitsdExportError):
    """The loss or a weight is no longer a number."""

    exit_code = 4


@dataclasses.dataclass(frozen=True)
class Compute:
    """On what a run computes, and how.

    Attributes:
        devices: What shares each batch.
        precision: In what the products are computed; weights are float32.
        compile: Whether XLA compiles the step, where it is a choice.
    """

    devices: Devices
    precision: Precision = "float32"
    compile: bool = False


@dataclasses.dataclass(frozen=True)
class Origin:
    """What the weights of a stage start from.

    Attributes:
        model: Made by `build_classifier(config)`.
        config: Its architecture.
        same_classes: Whether its outputs are the classes that are trained.
        freeze_encoder: Whether the head alone is trained.
    """

    model: keras.Model
    config: ModelConfig
    same_classes: bool = True
    freeze_encoder: bool = False


@dataclasses.dataclass(frozen=True)
class StageRun:
    """A stage that can be trained.

    Attributes:
        config: Architecture at the stage's image size.
        program: Training model, optimizer and recipe.
        engine: Runs the steps.
        inference: The same network in float32 without dropout: it is validated and kept.
        transfer: What was taken over from the origin, in words; empty if the weights are random.
    """

    config: Config
    program: Program
    engine: Engine
    inference: keras.Model
    transfer: str


def stage_config(config: Config, stage: Stage) -> Config:
    """Returns the architecture at a stage's image size.

    Raises:
        UsageError: If the patch size does not divide the image size, or the network has no image size.
    """
    if stage.image_size is None:
        return config
    if isinstance(config, ResidualConfig):
        raise UsageError("A residual network has one image size; its recipe cannot have stages.")
    return dataclasses.replace(config, image_size=stage.image_size)


def prepare_stage(
    config: Config,
    recipe: Recipe,
    stage: Stage,
    compute: Compute,
    *,
    seed: int,
    steps: int,
    statistics: tuple[np.ndarray, np.ndarray],
    origin: Origin | None = None,
) -> StageRun:
    """Builds the models and the optimizer of a stage.

    Args:
        config: Architecture of the run.
        recipe: Hyperparameters.
        stage: Which epochs, at which size.
        compute: Devices and precision.
        seed: Decides the initial weights.
        steps: Steps in an epoch.
        statistics: Mean and variance of each channel of the training images.
        origin: Whose weights are taken over; random ones when None.
    """
    config = stage_config(config, stage)
    keras.utils.set_random_seed(seed)
    with compute.devices.scope():
        with policy(compute.precision):
            model = build_for_training(config, recipe.regularization)
        set_normalization(model, *statistics)
        transfer = ""
        if origin is not None and isinstance(config, ModelConfig):
            transfer = transfer_weights(
                origin.model, origin.config, model, config, same_classes=origin.same_classes
            )
            if origin.freeze_encoder:
                freeze_encoder(model)
        optimizer = build_optimizer(
            recipe.optimizer,
            epochs=stage.epochs,
            steps_per_epoch=steps,
            is_later_stage=stage.first_epoch > 0,
        )
        # A checkpoint can be loaded only into an optimizer that has its slots.
        optimizer.build(model.trainable_variables)
        # So that `save_weights` writes the optimizer too.
        model.compile(optimizer)
    inference = build_for_inference(config)
    # Those of the origin belong to its weights.
    set_normalization(inference, *model.get_layer(NORMALIZATION).get_weights()[:2])
    program = Program(model, optimizer, recipe, compute.compile)
    run = StageRun(config, program, create_engine(program, compute.devices), inference, transfer)
    copy_weights(run)
    return run


def train_epoch(run: StageRun, lessons: Lessons, epoch: int, bar: Progress) -> dict[str, float]:
    """Trains one epoch (counted from 0) and shows its steps on the bar; returns its row of the log.

    Raises:
        TrainingDiverged: If the loss or a weight becomes NaN or infinite.
    """
    recipe, model = run.program.recipe, run.program.model
    started = time.monotonic()
    steps = lessons.steps
    run.engine.begin()

    def show(done: int, handle: Any) -> tuple[float, float]:
        total_loss, total_right = run.engine.figures(handle)
        images = done * recipe.batch_size
        loss, top1 = total_loss / images, total_right / images
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"The loss became {loss} in epoch {epoch + 1}, at step {done} or before."
            )
        speed = images / (time.monotonic() - started)
        bar.update(
            bar.task_ids[0],
            completed=epoch * steps + done,
            description=f"epoch {epoch + 1}/{recipe.epochs}",
            figures=f"loss {loss:.3f} top-1 {top1:.3f} {speed:.0f} images/s",
        )
        return loss, top1

    every = max(1, steps // _REPORTS_PER_EPOCH)
    waiting: tuple[int, Any] | None = None
    handle: Any = None
    for step, batch in enumerate(lessons.batches(epoch), start=1):
        handle = run.engine.step(batch)
        if step % every == 0:
            # One report late, so that the device always has steps in its queue.
            if waiting is not None:
                show(*waiting)
            waiting = (step, handle)
    loss, top1 = show(steps, handle)
    run.engine.finish()
    # The loss of a step is that of the weights before it: it does not tell of the last step.
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise TrainingDiverged(f"Weights became NaN or infinite in epoch {epoch + 1}.")
    seconds = time.monotonic() - started
    rate = keras.ops.convert_to_numpy(run.program.optimizer.learning_rate)
    size = {"image_size": run.config.image_size} if isinstance(run.config, ModelConfig) else {}
    return {
        "epoch": epoch + 1,
        **size,
        "loss": loss,
        "top1": top1,
        "learning_rate": float(rate),
        "images_per_second": steps * recipe.batch_size / seconds,
        "seconds": seconds,
    }


def copy_weights(run: StageRun) -> None:
    """Puts the training model's weights, averaged where the recipe averages, into the inference model."""
    model, optimizer = run.program.model, run.program.optimizer
    trained = model.get_weights()
    # A variable that several devices mirror cannot be made an int.
    steps = int(keras.ops.convert_to_numpy(optimizer.iterations))
    averaged = bool(run.program.recipe.optimizer.ema_decay) and steps > 0
    if averaged:
        optimizer.finalize_variable_values(model.trainable_variables)
    run.inference.set_weights(model.get_weights())
    if averaged:
        model.set_weights(trained)
