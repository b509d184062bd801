"""Checkpoints of a run: weights and optimizer in one file, dropout seeds and log in another, and the best."""

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.engine_choice import ENGINES, EngineKind
from training.run_files import best_epoch, write_text, writing
from vitsd_export._internal.damaged_files import UNREADABLE_ERRORS, reason
from vitsd_export.errors import EnvironmentProblem, InputError, UsageError

if TYPE_CHECKING:
    import keras

_STATE = "state.json"


@dataclasses.dataclass(frozen=True)
class RunState:
    """How far a run has come.

    Attributes:
        configuration: Model, recipe, data and seed: a run resumes only into the same.
        epochs_done: Finished epochs.
        weights: File name of the checkpoint after them.
        log: One row an epoch.
        seeds: Seed and count of draws of each of the model's dropouts.
    """

    configuration: dict[str, Any]
    epochs_done: int
    weights: str
    log: list[dict[str, float]]
    seeds: list[list[int]]


def check_folder(folder: Path, *, resume: bool) -> None:
    """Checks that a folder, there or not, can take a run, before time is spent on data and model.

    Raises:
        UsageError: If the folder holds a run and `resume` is false, or its path is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not the folder of a run. Give another --output.")
    if not resume and (folder / _STATE).exists():
        raise UsageError(
            f"{folder} already holds a run. Continue it with --resume, or train into another folder."
        )


def make_folder(folder: Path) -> None:
    """Makes the folder of a run.

    Raises:
        EnvironmentProblem: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"The folder {folder} cannot be made: {error.strerror or error}. Give another --output."
        ) from error


def save_checkpoint(
    folder: Path,
    model: "keras.Model",
    configuration: dict[str, Any],
    log: list[dict[str, float]],
) -> None:
    """Writes the state after an epoch; a crash at any moment leaves this or the last one whole.

    Weights, optimizer and dropout seeds of the compiled model are written. If the epoch is the best so
    far, its weights must have been written to `best_path` before.

    Raises:
        EnvironmentProblem: If the folder cannot be written to, or the disk is full.
    """
    weights = folder / f"epoch{len(log):04d}.weights.h5"
    seeds = [[int(part) for part in variable.numpy()] for variable in _seed_variables(model)]
    state = RunState(configuration, len(log), weights.name, log, seeds)
    save_weights(model, weights)
    # The state names the weights, so it is what makes the new checkpoint count.
    write_text(folder / _STATE, json.dumps(dataclasses.asdict(state), indent=1))
    with writing(folder):
        for old in (*folder.glob("epoch*.weights.h5"), *folder.glob("best*.weights.h5")):
            if old not in (weights, best_path(folder, best_epoch(log))):
                old.unlink()


def best_path(folder: Path, epoch: int) -> Path:
    """Returns the file of the weights of an epoch, from 1, that is the best so far."""
    return folder / f"best{epoch:04d}.weights.h5"


def save_weights(model: "keras.Model", path: Path) -> None:
    """Writes weights, and the optimizer's of a compiled model, under a temporary name first.

    Raises:
        EnvironmentProblem: If the file cannot be written.
    """
    with writing(path.parent):
        temporary = path.parent / "writing.weights.h5"
        try:
            model.save_weights(temporary)
        except RuntimeError as error:
            # So h5py reports a disk that is full when a file is closed.
            raise OSError(str(error)) from error
        os.replace(temporary, path)


def load_weights(model: "keras.Model", path: Path) -> None:
    """Reads weights of a checkpoint into a model.

    Raises:
        InputError: If the file is missing or damaged.
    """
    try:
        model.load_weights(path)
    except UNREADABLE_ERRORS as error:
        raise InputError(
            f"The checkpoint {path} cannot be read: {reason(error)}. Train again, into another folder."
        ) from error


def read_state(folder: Path, configuration: dict[str, Any]) -> RunState | None:
    """Reads how far the run of a folder has come; None if the folder holds no state yet.

    Raises:
        UsageError: If the folder belongs to a run with another configuration.
        InputError: If the state cannot be read.
    """
    path = folder / _STATE
    if not path.exists():
        return None
    state = _read_state(path)
    # As JSON gives it back: tuples are lists.
    expected = json.loads(json.dumps(configuration))
    different = _differences(expected, state.configuration)
    if different:
        raise UsageError(
            f"{folder} holds a run with another {', '.join(different)}. Give the options it was "
            "started with, or train into another folder."
        )
    return state


def engine_of(folder: Path) -> EngineKind | None:
    """Returns the engine of the run that lies in a folder; None if there is none.

    Raises:
        InputError: If the state cannot be read.
    """
    path = folder / _STATE
    return ENGINES.get(_read_state(path).configuration.get("engine", "")) if path.exists() else None


def restore(folder: Path, state: RunState, model: "keras.Model") -> None:
    """Restores a state into a compiled model whose optimizer is built.

    Raises:
        InputError: If the weights cannot be read or do not fit.
    """
    load_weights(model, folder / state.weights)
    try:
        for variable, seed in zip(_seed_variables(model), state.seeds, strict=True):
            variable.assign(seed)
    except UNREADABLE_ERRORS as error:
        raise InputError(
            f"The dropout seeds in {folder / _STATE} do not fit the model: {error}. Train into another "
            "folder."
        ) from error


def _seed_variables(model: "keras.Model") -> "list[keras.Variable]":
    # `save_weights` leaves them out, and a resumed run would drop other units than an unbroken one.
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]


def _read_state(path: Path) -> RunState:
    try:
        state = RunState(**json.loads(path.read_text(encoding="utf-8")))
        if (
            not isinstance(state.configuration, dict)
            or not isinstance(state.weights, str)
            or not state.log
            or len(state.log) != state.epochs_done
            or not isinstance(state.seeds, list)
        ):
            raise ValueError("its entries do not fit together")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is not the state of a training run: {error}. Train into another folder."
        ) from error
    return state


def _differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Names what differs, `recipe.epochs` where the entries of an entry can be compared."""
    names = []
    for key in sorted(expected.keys() | found.keys()):
        one, other = expected.get(key), found.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            names += [f"{key}.{name}" for name in _differences(one, other)]
        elif one != other:
            names.append(key)
    return names
