"""Images a second of one engine's bare step: `python -m training.engine_speed NAME WORKLOAD`.

KERAS_BACKEND must be the engine's. Prints one number.
"""

import dataclasses
import json
import statistics
import sys
import time

from training.backend import import_keras
from training.engine_choice import ENGINES, EngineKind, Workload

_WARMUP = 2
_MOST_STEPS = 12
_SECONDS = 5.0


def measure(kind: EngineKind, workload: Workload) -> float:
    """Returns the median speed of a few steps after the first ones.

    Args:
        kind: The engine, whose backend Keras runs on.
        workload: The step.
    """
    import_keras()
    from training.engines.devices import choose_devices, limit_threads

    limit_threads(None if kind.backend == "jax" else workload.threads)
    import numpy as np

    from training.batches import Batch
    from training.precision import best_precision
    from training.presets import config_of
    from training.recipes import Stage, load_recipe
    from training.stage import Compute, prepare_stage

    recipe = dataclasses.replace(load_recipe("distilled"), batch_size=workload.batch_size)
    precision = best_precision() if workload.precision == "auto" else workload.precision
    devices = choose_devices(None, workload.batch_size, together=2)
    config = config_of(workload.preset, num_classes=workload.num_classes)
    run = prepare_stage(
        config,
        recipe,
        Stage(0, recipe.epochs, workload.image_size),
        Compute(devices, precision, kind.compile),  # type: ignore[arg-type]
        seed=0,
        steps=100,
        statistics=(np.zeros(3), np.ones(3)),
    )
    rng = np.random.default_rng(0)
    size = config.input_size
    batch = Batch(
        rng.uniform(0, 255, (workload.batch_size, size, size, 3)).astype(np.float32),
        np.eye(workload.num_classes, dtype=np.float32)[
            rng.integers(0, workload.num_classes, workload.batch_size)
        ],
    )
    run.engine.begin()
    seconds: list[float] = []
    for step in range(_WARMUP + _MOST_STEPS):
        started = time.perf_counter()
        run.engine.figures(run.engine.step(batch))
        if step >= _WARMUP:
            seconds.append(time.perf_counter() - started)
            if sum(seconds) > _SECONDS and len(seconds) > 1:
                break
    return workload.batch_size / statistics.median(seconds)


if __name__ == "__main__":
    print(measure(ENGINES[sys.argv[1]], Workload(**json.loads(sys.argv[2]))))
