"""Speed of a training step beside plain `model.fit` on Keras's preprocessing layers."""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.augmentation.draws import draw_epoch
from training.engines import create_engine
from training.engines.devices import choose_devices, share_processor
from training.engines.program import Program
from training.optimizer import build_optimizer
from training.recipes import Recipe, load_recipe, with_changes
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.model.classifier import build_classifier, set_normalization
from vitsd_export.model.config import preset_config

_PRESET = "vit-tiny"


@dataclasses.dataclass(frozen=True)
class StepFigures:
    """Speed of one recipe, both ways.

    Attributes:
        recipe: Its name.
        ours: Images a second of `python -m training`: median of the rounds.
        fit: Images a second of `model.fit` whose data comes through Keras's layers for the same
            augmentation; the median too.
        fit_plain: The same without any augmentation.
        rounds: Passes of each, in turn.
        batch_size: Images in a step.
        steps: Steps in a pass.
    """

    recipe: str
    ours: float
    fit: float
    fit_plain: float
    rounds: int
    batch_size: int
    steps: int

    @property
    def ratio(self) -> float:
        """How many times faster ours is with the same augmentation."""
        return self.ours / self.fit


def keras_layers(recipe: Recipe, size: int) -> list[keras.layers.Layer]:
    """Returns Keras's preprocessing layers for what a recipe does to images."""
    layers = keras.layers
    augmentation, mixing = recipe.augmentation, recipe.mixing
    chosen: list[keras.layers.Layer] = []
    if augmentation.flip:
        chosen.append(layers.RandomFlip("horizontal"))
    if augmentation.crop_padding:
        # RandomCrop draws one crop a batch.
        shift = augmentation.crop_padding / size
        chosen.append(layers.RandomTranslation(shift, shift))
    if augmentation.rotation:
        chosen.append(layers.RandomRotation(augmentation.rotation))
    if augmentation.zoom:
        chosen.append(layers.RandomZoom(augmentation.zoom, augmentation.zoom))
    if augmentation.operations:
        chosen.append(layers.RandAugment((0, 255), num_ops=augmentation.operations))
    if augmentation.erasing:
        chosen.append(layers.RandomErasing(augmentation.erasing, value_range=(0, 255)))
    if mixing.probability and mixing.cutmix_share:
        chosen.append(layers.CutMix(mixing.cutmix_alpha))
    if mixing.probability and mixing.cutmix_share < 1:
        chosen.append(layers.MixUp(mixing.mixup_alpha))
    return chosen


def _model(recipe: Recipe, data: ImageDataset, steps: int, epochs: int) -> Any:
    keras.utils.set_random_seed(0)
    config = preset_config(_PRESET, num_classes=len(data.class_names))
    model = build_classifier(config, drop_path=recipe.regularization.drop_path)
    set_normalization(model, data.images.mean((0, 1, 2)), data.images.var((0, 1, 2)))
    optimizer = build_optimizer(recipe.optimizer, epochs=epochs, steps_per_epoch=steps)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def _our_pass(recipe: Recipe, data: ImageDataset, steps: int, rounds: int) -> Callable[[], None]:
    devices = choose_devices(None, recipe.batch_size, together=2)
    with devices.scope():
        model, optimizer = _model(recipe, data, steps, rounds + 1)
    labels = np.asarray(data.labels)
    engine = create_engine(Program(model, optimizer, recipe), data.images, labels, devices)
    epoch = 0

    def run() -> None:
        nonlocal epoch
        size = data.images.shape[1]
        engine.begin(draw_epoch(recipe, count=len(data), size=size, seed=0, epoch=epoch))
        for step in range(steps):
            handle = engine.step(step)
        engine.figures(handle)
        engine.finish()
        epoch += 1

    return run


def _fit_pass(
    recipe: Recipe, data: ImageDataset, steps: int, rounds: int, *, augment: bool
) -> Callable[[], None]:
    model, optimizer = _model(recipe, data, steps, rounds + 1)
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=recipe.loss.label_smoothing
    )
    model.compile(optimizer, loss, metrics=["accuracy"])
    layers = keras_layers(recipe, data.images.shape[1]) if augment else []

    def prepare(images: Any, labels: Any) -> tuple[Any, Any]:
        batch = {"images": tf.cast(images, tf.float32), "labels": labels}
        for layer in layers:
            batch = layer(batch, training=True)
        return batch["images"], batch["labels"]

    targets = np.eye(len(data.class_names), dtype=np.float32)[data.labels]
    pipeline = (
        tf.data.Dataset.from_tensor_slices((data.images, targets))
        .shuffle(len(data))
        .batch(recipe.batch_size, drop_remainder=True)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    return lambda: model.fit(pipeline, epochs=1, verbose=0, shuffle=False)


def time_training_step(
    recipe_name: str,
    data: ImageDataset,
    *,
    batch_size: int = 256,
    rounds: int = 5,
    report: Callable[[str], None] = lambda _: None,
) -> StepFigures:
    """Times passes over the data: ours, `fit` with the same augmentation, and `fit` without, in turn.

    Args:
        recipe_name: Recipe of `training`.
        data: Labelled training images.
        batch_size: Images in a step.
        rounds: Timed passes of each; another one before compiles.
        report: Called with what is going on.
    """
    share_processor()
    recipe = with_changes(load_recipe(recipe_name), [f"batch_size={batch_size}"])
    steps = len(data) // batch_size
    passes = {
        "ours": _our_pass(recipe, data, steps, rounds),
        "fit": _fit_pass(recipe, data, steps, rounds, augment=True),
        "fit_plain": _fit_pass(recipe, data, steps, rounds, augment=False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for round_ in range(rounds + 1):
        for name, run in passes.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
            report(f"round {round_}: {name} {seconds[name][-1]:.2f} s")
    images = steps * batch_size
    speeds = {name: images / statistics.median(times[1:]) for name, times in seconds.items()}
    return StepFigures(recipe_name, **speeds, rounds=rounds, batch_size=batch_size, steps=steps)


def to_json(figures: list[StepFigures]) -> str:
    """Returns the figures as a JSON document."""
    rows = [{**dataclasses.asdict(entry), "ratio": entry.ratio} for entry in figures]
    return json.dumps(rows, indent=2) + "\n"
