"""Speed of a training step beside plain `model.fit` on Keras's preprocessing layers."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.engines.devices import choose_devices
from training.optimizer import build_optimizer
from training.precision import Precision, best_precision
from training.recipes import Recipe, Stage, load_recipe
from training.speed import device_share
from training.stage import Compute, prepare_stage
from training.teaching import Lessons
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.measure.benchmark.latency import time_alternating
from vitsd_export.model.classifier import build_classifier, set_normalization
from vitsd_export.model.config import ModelConfig, preset_config


@dataclasses.dataclass(frozen=True)
class StepFigures:
    """Speed of one recipe, in several ways: images a second, the median of the rounds.

    Attributes:
        preset: Architecture.
        recipe: Recipe's name.
        precision: In which `ours` computes its products.
        ours: `python -m training` on TensorFlow.
        ours_float32: The same in float32.
        fit: `model.fit` of the plain network, whose data comes through Keras's layers for the same
            augmentation.
        fit_plain: The same without any augmentation.
        share_of_peak: Share of the device's measured rate of matrix products that `ours` reaches, in the
            multiply-adds of the plain network.
        rounds: Passes of each, in turn.
        batch_size: Images in a step.
        steps: Steps in a pass.
    """

    preset: str
    recipe: str
    precision: str
    ours: float
    ours_float32: float
    fit: float
    fit_plain: float
    share_of_peak: float
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


def _our_pass(
    config: ModelConfig, recipe: Recipe, data: ImageDataset, precision: Precision
) -> Callable[[], None]:
    lessons = Lessons(recipe, data, 0, None, Path())
    run = prepare_stage(
        config,
        recipe,
        Stage(0, recipe.epochs),
        Compute(choose_devices(None, recipe.batch_size, together=2), precision),
        seed=0,
        steps=lessons.steps,
        statistics=(data.images.mean((0, 1, 2)), data.images.var((0, 1, 2))),
    )
    epoch = 0

    def train() -> None:
        nonlocal epoch
        run.engine.begin()
        for batch in lessons.batches(epoch):
            handle = run.engine.step(batch)
        run.engine.figures(handle)
        run.engine.finish()
        epoch += 1

    return train


def _fit_pass(
    config: ModelConfig, recipe: Recipe, data: ImageDataset, *, augment: bool
) -> Callable[[], None]:
    keras.utils.set_random_seed(0)
    model = build_classifier(config, drop_path=recipe.regularization.drop_path)
    set_normalization(model, data.images.mean((0, 1, 2)), data.images.var((0, 1, 2)))
    steps = len(data) // recipe.batch_size
    optimizer = build_optimizer(recipe.optimizer, epochs=recipe.epochs, steps_per_epoch=steps)
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
    preset: str,
    recipe_name: str,
    data: ImageDataset,
    *,
    batch_size: int = 256,
    rounds: int = 5,
    progress: Callable[[str], None] = lambda _: None,
) -> StepFigures:
    """Times passes over the data: ours, `fit` with the same augmentation, and `fit` without, in turn.

    The recipe's stages are left out: all train at the preset's image size.

    Args:
        preset: Architecture.
        recipe_name: Recipe of `training`.
        data: Labelled training images.
        batch_size: Images in a step.
        rounds: Timed passes of each; another one before compiles.
        progress: Called with what is going on.
    """
    recipe = dataclasses.replace(load_recipe(recipe_name), batch_size=batch_size, stages="")
    config = preset_config(preset, num_classes=len(data.class_names))
    precision = best_precision()
    passes = {
        "ours": _our_pass(config, recipe, data, precision),
        "ours_float32": _our_pass(config, recipe, data, "float32"),
        "fit": _fit_pass(config, recipe, data, augment=True),
        "fit_plain": _fit_pass(config, recipe, data, augment=False),
    }
    progress(f"{rounds + 1} rounds of {', '.join(passes)}")
    times = time_alternating(passes, rounds, warmup=1)
    steps = len(data) // batch_size
    speeds = {name: steps * batch_size / (times[name].p50 / 1e3) for name in passes}
    return StepFigures(
        preset,
        recipe_name,
        precision,
        **speeds,
        share_of_peak=device_share(config, precision, speeds["ours"]),
        rounds=rounds,
        batch_size=batch_size,
        steps=steps,
    )


def to_json(figures: list[StepFigures]) -> str:
    """Returns the figures as a JSON document."""
    rows = [{**dataclasses.asdict(entry), "ratio": entry.ratio} for entry in figures]
    return json.dumps(rows, indent=2) + "\n"
