"""Which engine trains fastest on this machine: measured once, remembered in the cache.

`python -m training.engine_choice NAME WORKLOAD` measures one engine and prints its images a second.
"""

import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from training.run_files import write_text
from vitsd_export._internal.cache import cache_folder
from vitsd_export.errors import EnvironmentProblem

# A shorter run is over before the engines are measured.
WORTH_MEASURING = 200_000
"""Images that a run trains on, all epochs together."""
_LONGEST_MEASUREMENT = 240
"""Seconds for one engine, compilation included."""
_WARMUP_STEPS = 2
_MOST_STEPS = 12
_MEASURED_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class EngineKind:
    """A Keras backend, and whether XLA compiles its step.

    Attributes:
        name: As the command line has it.
        backend: Value of KERAS_BACKEND.
        compile: Whether XLA compiles, where it is a choice.
    """

    name: str
    backend: str
    compile: bool = False


ENGINES = {
    kind.name: kind
    for kind in (
        EngineKind("tensorflow", "tensorflow"),
        EngineKind("tensorflow-xla", "tensorflow", compile=True),
        EngineKind("jax", "jax", compile=True),
        EngineKind("torch", "torch"),
    )
}
DEFAULT_ENGINE = ENGINES["tensorflow"]


@dataclasses.dataclass(frozen=True)
class Workload:
    """The step that is measured.

    Attributes:
        preset: Architecture.
        num_classes: Number of logits.
        image_size: Size that a transformer resizes images to; the preset's when None.
        batch_size: Images in a step.
        precision: `auto`, `float32` or `bfloat16`.
        threads: Processor threads; all when None.
    """

    preset: str
    num_classes: int
    image_size: int | None
    batch_size: int
    precision: str
    threads: int | None


def named_engine() -> EngineKind | None:
    """Returns the engine that KERAS_BACKEND names, without XLA where it is a choice; None if it is not set.

    Raises:
        EnvironmentProblem: If it names a backend that does not train here.
    """
    backend = os.environ.get("KERAS_BACKEND")
    if not backend:
        return None
    for kind in ENGINES.values():
        if kind.backend == backend:
            return kind
    raise EnvironmentProblem(
        f"KERAS_BACKEND is {backend}, which cannot train: set it to tensorflow, jax or torch, or "
        "give --engine."
    )


def fastest_engine(workload: Workload, tell: Callable[[str], None]) -> EngineKind:
    """Measures the installed engines in processes of their own, unless the cache has their figures.

    `tell` is called with the figures, images a second.

    Raises:
        EnvironmentProblem: If no engine completes a step.
    """
    installed = {
        name: kind for name, kind in ENGINES.items() if importlib.util.find_spec(kind.backend)
    }
    path = cache_folder("engines") / f"{_fingerprint(workload, installed)}.json"
    try:
        figures = {name: float(speed) for name, speed in json.loads(path.read_text()).items()}
        remembered = " (measured before)"
    except (OSError, ValueError, AttributeError):
        tell(f"Measuring {', '.join(installed)} on this machine, once …")
        measured = {name: _measure(kind, workload) for name, kind in installed.items()}
        figures = {name: speed for name, speed in measured.items() if speed is not None}
        remembered = ""
        if not figures:
            raise EnvironmentProblem(
                f"No engine of {', '.join(installed)} completes a step. Name one with --engine to see why."
            ) from None
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(figures) + "\n")
    ranked = sorted(figures, key=lambda name: -figures[name])
    listed = ", ".join(f"{name} {figures[name]:.0f}" for name in ranked)
    tell(f"Training on {ranked[0]}. Images a second of the bare step: {listed}{remembered}.")
    return ENGINES[ranked[0]]


def _fingerprint(workload: Workload, installed: dict[str, EngineKind]) -> str:
    packages = ("keras", *sorted({kind.backend for kind in installed.values()}))
    facts: dict[str, Any] = {
        **dataclasses.asdict(workload),
        "versions": [f"{name} {importlib.metadata.version(name)}" for name in packages],
        "machine": [platform.machine(), platform.processor(), _processor(), os.cpu_count()],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return "".join(line for line in file if line.startswith(("model name", "flags")))
    except OSError:
        return ""


def _measure(kind: EngineKind, workload: Workload) -> float | None:
    """Returns images a second, or None where the engine fails: another one will do."""
    command = [sys.executable, "-m", __name__, kind.name]
    try:
        done = subprocess.run(
            [*command, json.dumps(dataclasses.asdict(workload))],
            env={**os.environ, "KERAS_BACKEND": kind.backend},
            capture_output=True,
            text=True,
            timeout=_LONGEST_MEASUREMENT,
        )
        return float(done.stdout.split()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        return None


def measure(kind: EngineKind, workload: Workload) -> float:
    """Returns images a second of the bare step of an engine, whose backend KERAS_BACKEND must name.

    It is the median of a few steps after the first ones.
    """
    from training.backend import import_keras

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
    for step in range(_WARMUP_STEPS + _MOST_STEPS):
        started = time.perf_counter()
        run.engine.figures(run.engine.step(batch))
        if step >= _WARMUP_STEPS:
            seconds.append(time.perf_counter() - started)
            if sum(seconds) > _MEASURED_SECONDS and len(seconds) > 1:
                break
    return workload.batch_size / statistics.median(seconds)


if __name__ == "__main__":
    print(measure(ENGINES[sys.argv[1]], Workload(**json.loads(sys.argv[2]))))
