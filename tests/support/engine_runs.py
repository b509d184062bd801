"""The runs by which backends and numbers of devices are compared."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.support.training_parts import LIVELY, small_config, small_data
from tests.support.training_runs import run
from training.presets import Config
from training.start_from import Start
from vitsd_export.model.classifier import build_classifier, set_normalization


def random_start() -> Start:
    """Weights that do not hang on the backend, which draws others from the same seed."""
    model, rng = build_classifier(small_config()), np.random.default_rng(0)
    for variable in model.trainable_variables:
        is_scale = variable.name in ("gamma", "tau")
        variable.assign(is_scale + 0.2 * rng.standard_normal(variable.shape))
    set_normalization(model, np.full(3, 100.0), np.full(3, 3000.0))
    return Start(model, small_config(), small_data().class_names, Path("random"), "0")


def run_all(folder: Path, runs: list[dict[str, Any]]) -> None:
    """Trains the small model from `random_start`.

    Args:
        folder: Holds the folder of each run.
        runs: Of each, `name`, maybe `dropout`, and what `training.loop.Settings` takes.
    """
    for settings in runs:
        name = settings.pop("name")
        run(folder / name, recipe=LIVELY, data=small_data(28), start=random_start(), **settings)


def distance_of_updates(config: Config) -> float:
    """Trains a network on torch twice, by the engine and by Keras's optimizer, and compares.

    Returns:
        The largest difference of a weight, a slot or an average of the optimizer.
    """
    import keras
    import torch

    from training.batches import Batch
    from training.engines.program import Program
    from training.engines.torch import TorchEngine
    from training.networks import build_for_training
    from training.optimizer import build_optimizer
    from training.recipes.schema import RegularizationRecipe

    programs = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        model = build_for_training(config, RegularizationRecipe())
        optimizer = build_optimizer(LIVELY.optimizer, epochs=2, steps_per_epoch=3)
        optimizer.build(model.trainable_variables)
        programs.append(Program(model, optimizer, LIVELY))
    by_engine, by_keras = programs
    engine = TorchEngine(by_engine)
    rng = np.random.default_rng(0)
    for step in range(6):
        if step % 3 == 0:
            engine.begin()
        pixels = rng.uniform(0, 255, (8, 8, 8, 3)).astype(np.float32)
        targets = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 8)]
        engine.step(Batch(pixels, targets))
        weights = [variable.value for variable in by_keras.model.trainable_variables]
        logits = by_keras.model(pixels, training=True)
        loss = by_keras.loss(keras.ops.convert_to_tensor(targets), logits)
        gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            by_keras.optimizer.apply(gradients, by_keras.model.trainable_variables)
    ends = [
        [
            keras.ops.convert_to_numpy(v)
            for v in (*p.model.trainable_variables, *p.optimizer.variables)
        ]
        for p in programs
    ]
    return max(float(np.abs(one - other).max()) for one, other in zip(*ends, strict=True))
