"""The training loop."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import keras
import numpy as np
from rich.console import Console

from training.checkpoint import (
    best_path,
    check_folder,
    load_weights,
    make_folder,
    read_state,
    restore,
    save_checkpoint,
    save_weights,
)
from training.engines.devices import choose_devices
from training.evaluation import evaluate
from training.event_log import event_log
from training.precision import Precision
from training.presets import Config, ResidualConfig
from training.progress import step_bar
from training.recipes import Recipe, Stage
from training.run_files import best_epoch, write_log, write_text
from training.stage import (
    Compute,
    Origin,
    StageRun,
    TrainingDiverged,
    copy_weights,
    prepare_stage,
    stage_config,
    train_epoch,
)
from training.teaching import Lessons, load_teacher
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import InputError, UsageError
from vitsd_export.model.config import ModelConfig

if TYPE_CHECKING:
    from training.start_from import Start


@dataclasses.dataclass(frozen=True)
class Trained:
    """Outcome of a run.

    Attributes:
        model: The model with the weights of the best epoch of the last stage, float32, for inference.
        config: Its architecture.
        log: One row an epoch: `epoch`, `loss` and `top1` of the augmented and mixed training images,
            `learning_rate`, `images_per_second`, `seconds`, and, where images are held out,
            `validation_loss` and `validation_top1`.
        held_out: Number of validation images.
        devices: Number of devices that shared each batch.
    """

    model: keras.Model
    config: Config
    log: list[dict[str, float]]
    held_out: int
    devices: int

    @property
    def best_epoch(self) -> int:
        """Epoch, from 1, whose weights these are."""
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


def _check_fit(data: ImageDataset, config: Config) -> None:
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
class Settings:
    """How a run is made, beside model, recipe and data.

    Attributes:
        seed: Decides initial weights, image order, augmentation and the validation split.
        resume: Go on from the folder's checkpoint, if it has one.
        stop_after: End early after this many epochs, at least 1, in all; the schedule stays that of the
            recipe.
        devices: How many devices share each batch; all that can share it evenly when None.
        precision: In what the products are computed; weights are float32.
        compile: Whether XLA compiles the step, where it is a choice.
        engine: Name that the command line has for backend and `compile`; a resumed run takes it up.
        start: Model whose weights the run starts from; random ones when None.
        freeze_encoder: Whether the head alone is trained; only with a `start`.
        teacher: Source of a classifier whose answers are learnt from, too.
    """

    seed: int = 0
    resume: bool = False
    stop_after: int | None = None
    devices: int | None = None
    precision: Precision = "float32"
    compile: bool = False
    engine: str = ""
    start: "Start | None" = None
    freeze_encoder: bool = False
    teacher: str | None = None


def train(
    config: Config,
    recipe: Recipe,
    data: ImageDataset,
    folder: Path,
    settings: Settings = Settings(),
    *,
    console: Console | None = None,
) -> Trained:
    """Trains a model, or goes on where a run stopped.

    The order of the images and their augmentation depend on the seed and the epoch alone, and the
    checkpoint holds the optimizer and the dropout seeds, so a resumed run ends like an unbroken one. Each
    stage of the recipe starts from the (averaged) weights of the one before, with a new optimizer.

    Args:
        config: Architecture.
        recipe: Hyperparameters.
        data: Labelled training images; the recipe's validation images are taken out of them.
        folder: Where checkpoints, `log.csv`, `recipe.toml` and TensorBoard's events go.
        settings: Seed, devices, what to start from and so on.
        console: Where progress is shown; standard error when None.

    Raises:
        UsageError: If the folder holds a run and `resume` is false, or a run with other options, or a batch
            cannot be shared evenly.
        InputError: If the data, the start or the teacher does not fit this model.
        TrainingDiverged: If the loss or a weight becomes NaN or infinite.
        EnvironmentProblem: If the folder cannot be written to, the disk is full, or devices are missing.
    """
    console = console or Console(stderr=True)
    _check_fit(data, config)
    plan = recipe.plan()
    for stage in plan:
        stage_config(config, stage)
    if settings.start is not None and isinstance(config, ResidualConfig):
        raise UsageError(
            "--start-from takes vision transformers; a residual network starts from scratch."
        )
    seed = settings.seed
    training, validation = split_validation(data, recipe.validation_images, seed)
    steps = len(training) // recipe.batch_size
    if not steps:
        raise InputError(
            f"{data.source} has {len(training)} training images, fewer than a batch of "
            f"{recipe.batch_size}. Lower --batch-size."
        )
    check_folder(folder, resume=settings.resume)
    # Images are mixed in pairs.
    together = 2 if recipe.mixing.probability else 1
    chosen = choose_devices(settings.devices, recipe.batch_size, together=together)
    compute = Compute(chosen, settings.precision, settings.compile)
    teacher = None
    if settings.teacher is not None:
        teacher = load_teacher(settings.teacher, data, settings.precision)
    start = settings.start
    make_folder(folder)
    configuration: dict[str, Any] = {
        "model": dataclasses.asdict(config),
        "recipe": recipe.to_dict(),
        "data": data.sha256(),
        "seed": seed,
        "precision": settings.precision,
        "engine": settings.engine,
        "teacher": teacher.sha256 if teacher else None,
        "start": start.sha256 if start else None,
        "freeze_encoder": settings.freeze_encoder,
    }
    log: list[dict[str, float]] = []
    state = read_state(folder, configuration) if settings.resume else None
    if state is not None:
        log = state.log
        # A crash may have come between the checkpoint and the table.
        write_log(folder / "log.csv", log)
    elif settings.resume:
        console.print(f"{folder} holds no finished epoch; starting from scratch.", soft_wrap=True)
    write_text(folder / "recipe.toml", recipe.to_toml())

    def prepare(stage: Stage, origin: Origin | None) -> StageRun:
        return prepare_stage(
            config,
            recipe,
            stage,
            compute,
            seed=seed,
            steps=steps,
            statistics=_normalization_statistics(training.images),
            origin=origin,
        )

    origin = None
    if start is not None:
        same_classes = start.has_classes(data.class_names)
        origin = Origin(start.model, start.config, same_classes, settings.freeze_encoder)
    # The stage of the last finished epoch: at a boundary the next one starts from its weights.
    first = next(s for s in plan if max(len(log), 1) <= s.first_epoch + s.epochs)
    run = prepare(first, origin)
    if state is not None:
        restore(folder, state, run.program.model)
        copy_weights(run)
    elif run.transfer:
        console.print(run.transfer, soft_wrap=True)
    lessons = Lessons(recipe, training, seed, teacher, folder)
    if state is None:
        lessons.forget()

    last_epoch = recipe.epochs
    if settings.stop_after is not None:
        last_epoch = min(settings.stop_after, recipe.epochs)
    with (
        step_bar(console, steps=last_epoch * steps, done=len(log) * steps) as bar,
        event_log(folder, log) as write_events,
    ):
        for stage in plan[plan.index(first) :]:
            if stage is not first and len(log) < last_epoch:
                # `stage_config` has refused stages of other networks.
                before = cast(ModelConfig, run.config)
                frozen = settings.freeze_encoder
                run = prepare(stage, Origin(run.inference, before, freeze_encoder=frozen))
                console.print(run.transfer, soft_wrap=True)
            for epoch in range(len(log), min(stage.first_epoch + stage.epochs, last_epoch)):
                try:
                    row = train_epoch(run, lessons, epoch, bar)
                except TrainingDiverged as error:
                    kept = f"The state after epoch {epoch} is kept in {folder}. " if epoch else ""
                    raise TrainingDiverged(
                        f"{error} {kept}Lower --learning-rate and train into another folder."
                    ) from error
                copy_weights(run)
                if len(validation):
                    score = evaluate(run.inference, validation)
                    row |= {"validation_loss": score.loss, "validation_top1": score.top1}
                log.append(row)
                if best_epoch(log) == epoch + 1:
                    save_weights(run.inference, best_path(folder, epoch + 1))
                save_checkpoint(folder, run.program.model, configuration, log)
                write_log(folder / "log.csv", log)
                write_events(row)
                figures = " ".join(f"{name}={value:.6g}" for name, value in row.items())
                console.print(figures, highlight=False, soft_wrap=True)
    load_weights(run.inference, best_path(folder, best_epoch(log)))
    return Trained(run.inference, run.config, log, len(validation), chosen.count)
