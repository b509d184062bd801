"""Presets with random weights, for times and sizes: `python -m benchmarks.untrained PRESET FILE`."""

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.isolated import run_module
from vitsd_export._internal.atomic_write import publish, staging
from vitsd_export.errors import EnvironmentProblem
from vitsd_export.model.config import preset_config

_TIMEOUT_SECONDS = 300.0


def untrained_model(
    preset: str, folder: Path, progress: Callable[[str], None] = lambda _: None
) -> Path:
    """Returns the file of an untrained model of a preset in a folder, written if it is not there yet.

    It is written in a process of its own: a child's peak memory counts from what its parent holds.

    Raises:
        UsageError: If no preset has that name.
        EnvironmentProblem: If it cannot be written.
    """
    preset_config(preset)
    path = folder / f"{preset}.keras"
    if not path.exists():
        progress(f"writing an untrained {preset}")
        folder.mkdir(parents=True, exist_ok=True)
        with staging(path) as staged:
            failure = run_module(
                "benchmarks.untrained", [preset, str(staged)], timeout=_TIMEOUT_SECONDS
            )
            if failure is not None:
                raise EnvironmentProblem(f"An untrained {preset} cannot be written: {failure}")
            publish(staged, path)
    return path


def _write(preset: str, path: Path) -> None:
    from vitsd_export._internal.tensorflow import use_tensorflow

    use_tensorflow()
    import keras
    import numpy as np

    from vitsd_export.model.classifier import build_classifier, set_normalization
    from vitsd_export.sources.checkpoint import write_model

    keras.utils.set_random_seed(0)
    config = preset_config(preset)
    model = build_classifier(config)
    # CIFAR-100's channel statistics, so that activations are of the size they have in use.
    set_normalization(model, np.array([129.3, 124.1, 112.4]), np.array([68.2, 65.4, 70.4]) ** 2)
    write_model(model, config, path, {})


if __name__ == "__main__":
    _write(sys.argv[1], Path(sys.argv[2]))
