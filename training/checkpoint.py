"""Checkpoints of a run: one file an epoch with weights, optimizer, dropout seeds, and the log so far."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import keras

from vitsd_export.errors import InputError, UsageError

_STATE = "state.json"


@dataclasses.dataclass(frozen=True)
class RunState:
    """How far a run has come.

    Attributes:
        configuration: Model, recipe, data and seed: a run resumes only into the same.
        epochs_done: Finished epochs.
        weights: File name of the checkpoint after them.
        log: One row an epoch.
    """

    configuration: dict[str, Any]
    epochs_done: int
    weights: str
    log: list[dict[str, float]]


def save_checkpoint(
    folder: Path, model: keras.Model, configuration: dict[str, Any], log: list[dict[str, float]]
) -> None:
    """Writes the state after an epoch; a crash at any moment leaves this or the last one whole.

    Args:
        folder: The run's folder.
        model: Compiled model; its weights, optimizer and seed states are written.
        configuration: What `RunState.configuration` says.
        log: One row for each finished epoch.
    """
    weights = folder / f"epoch{len(log):04d}.weights.h5"
    temporary = folder / "writing.weights.h5"
    model.save_weights(temporary)
    os.replace(temporary, weights)
    state = RunState(configuration, len(log), weights.name, log)
    # The state names the weights, so it is what makes the new checkpoint count.
    temporary = folder / "writing.json"
    temporary.write_text(json.dumps(dataclasses.asdict(state), indent=1), encoding="utf-8")
    os.replace(temporary, folder / _STATE)
    for old in folder.glob("epoch*.weights.h5"):
        if old != weights:
            old.unlink()


def load_checkpoint(
    folder: Path, model: keras.Model, configuration: dict[str, Any]
) -> RunState | None:
    """Restores the newest state into a compiled model whose optimizer is built.

    Returns:
        The state, or None if the folder holds none yet.

    Raises:
        UsageError: If the folder belongs to a run with another configuration.
        InputError: If the state cannot be read.
    """
    path = folder / _STATE
    if not path.exists():
        return None
    try:
        state = RunState(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is not the state of a training run: {error}.") from error
    expected = json.loads(json.dumps(configuration))
    different = sorted(
        key
        for key in expected.keys() | state.configuration.keys()
        if expected.get(key) != state.configuration.get(key)
    )
    if different:
        raise UsageError(
            f"{folder} holds a run with another {', '.join(different)}. Give the options it was "
            "started with, or train into another folder."
        )
    try:
        model.load_weights(folder / state.weights)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"The checkpoint {folder / state.weights} cannot be read: {error}. Train again."
        ) from error
    return state
