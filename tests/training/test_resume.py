"""A run that stops, whatever stops it, goes on to the same end."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.support.processes import REPOSITORY
from tests.support.training_parts import EPOCHS, RECIPE, STEPS_PER_EPOCH, small_data, with_optimizer
from tests.support.training_runs import FinishedRun, run, silent, weights_of
from training import checkpoint
from training.batches import Batch
from training.checkpoint import check_folder, engine_of
from training.engine_choice import ENGINES
from training.engines.tensorflow import TensorFlowEngine
from training.loop import Trained
from vitsd_export.errors import InputError, UsageError


class Crash(BaseException):
    """The end of the process, at a place of the test's choice."""


def check_same_end(trained: Trained, expected: FinishedRun) -> None:
    assert [row["epoch"] for row in trained.log] == [1, 2, 3]
    assert trained.best_epoch == expected.best_epoch
    for row, other in zip(trained.log, expected.log, strict=True):
        for name in ("loss", "top1", "learning_rate", "validation_loss", "validation_top1"):
            assert row[name] == pytest.approx(other[name], abs=1e-5), name
    for weight, other_weight in zip(weights_of(trained.model), expected.weights, strict=True):
        np.testing.assert_allclose(weight, other_weight, atol=1e-5)


@pytest.mark.parametrize(
    "stop_after",
    [1, 2],
)
def test_a_stopped_run_ends_like_an_unbroken_one(
    stop_after: int, finished_with_dropout: FinishedRun, tmp_path: Path
) -> None:
    expected = finished_with_dropout
    folder = tmp_path / "run"
    stopped = run(folder, dropout=expected.dropout, stop_after=stop_after)
    assert len(stopped.log) == stop_after
    # What else the process drew must not matter.
    keras.utils.set_random_seed(99)
    resumed = run(folder, dropout=expected.dropout, resume=True)
    check_same_end(resumed, expected)


@pytest.mark.slow
def test_a_stopped_run_ends_like_an_unbroken_one_under_xla(tmp_path: Path) -> None:
    trained = run(tmp_path / "unbroken", dropout=0.3, compile=True)
    expected = FinishedRun(
        tmp_path, trained.log, weights_of(trained.model), trained.best_epoch, 0.3
    )
    folder = tmp_path / "stopped"
    run(folder, dropout=0.3, compile=True, stop_after=1)
    check_same_end(run(folder, dropout=0.3, compile=True, resume=True), expected)


def test_dropout_makes_a_difference(
    finished: FinishedRun, finished_with_dropout: FinishedRun
) -> None:
    """Without it the test above would say nothing of the dropout's seeds."""
    assert finished.log[-1]["loss"] != pytest.approx(
        finished_with_dropout.log[-1]["loss"], abs=1e-3
    )


def test_a_finished_run_is_resumed_without_training(
    finished: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TensorFlowEngine, "step", None)
    resumed = run(finished.folder, resume=True)
    assert resumed.log == finished.log
    for weight, expected in zip(weights_of(resumed.model), finished.weights, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_resume_without_a_run_starts_from_scratch_and_says_so(tmp_path: Path) -> None:
    console = silent()
    trained = run(tmp_path / "run", resume=True, stop_after=1, console=console)
    assert len(trained.log) == 1
    assert "starting from scratch" in console.file.getvalue()  # type: ignore[attr-defined]


def interrupt(monkeypatch: pytest.MonkeyPatch, step: int, error: BaseException) -> None:
    """Raises in a step of training, counted from 1."""
    real = TensorFlowEngine.step
    steps = 0

    def interrupted(engine: TensorFlowEngine, batch: Batch) -> Any:
        nonlocal steps
        steps += 1
        if steps == step:
            raise error
        return real(engine, batch)

    monkeypatch.setattr(TensorFlowEngine, "step", interrupted)


def test_an_interrupt_loses_the_current_epoch_alone(
    finished_with_dropout: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    interrupt(monkeypatch, STEPS_PER_EPOCH + 3, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(folder, dropout=finished_with_dropout.dropout)
    monkeypatch.undo()
    assert json.loads((folder / "state.json").read_text())["epochs_done"] == 1
    resumed = run(folder, dropout=finished_with_dropout.dropout, resume=True)
    check_same_end(resumed, finished_with_dropout)


def _crash_before(name: str, time: int) -> Callable[[pytest.MonkeyPatch], None]:
    """Crashes before a file whose name starts so gets its name for the n-th time."""

    def install(monkeypatch: pytest.MonkeyPatch) -> None:
        real, times = os.replace, 0

        def replace(source: Path, target: Path) -> None:
            nonlocal times
            times += target.name.startswith(name)
            if times == time:
                raise Crash
            real(source, target)

        monkeypatch.setattr(checkpoint.os, "replace", replace)

    return install


def _crash_in_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = keras.Model.save_weights, 0

    def save_weights(model: Any, path: Path, **options: Any) -> None:
        nonlocal calls
        calls += 1
        real(model, path, **options)
        # Each epoch writes the checkpoint; the first the best weights before.
        if calls == 3:
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2])
            raise Crash

    monkeypatch.setattr(keras.Model, "save_weights", save_weights)


@pytest.mark.parametrize(
    ("install", "epochs_done"),
    [
        pytest.param(_crash_in_weights, 1, id="while the weights are written"),
        pytest.param(_crash_before("epoch", 2), 1, id="before the weights have their name"),
        pytest.param(_crash_before("state.json", 2), 1, id="between the weights and the state"),
        pytest.param(_crash_before("log.csv", 2), 2, id="between the state and the table"),
    ],
)
def test_a_crash_while_writing_leaves_a_state_to_go_on_from(
    install: Callable[[pytest.MonkeyPatch], None],
    epochs_done: int,
    finished: FinishedRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "run"
    install(monkeypatch)
    with pytest.raises(Crash):
        run(folder)
    monkeypatch.undo()
    assert json.loads((folder / "state.json").read_text())["epochs_done"] == epochs_done
    check_same_end(run(folder, resume=True), finished)
    assert len((folder / "log.csv").read_text().splitlines()) == 1 + EPOCHS
    assert [path.name for path in folder.glob("epoch*")] == ["epoch0003.weights.h5"]
    assert len(list(folder.glob("best*"))) == 1


def test_the_table_is_whole_after_resuming_a_finished_run(
    finished: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    _crash_before("log.csv", 3)(monkeypatch)
    with pytest.raises(Crash):
        run(folder)
    monkeypatch.undo()
    assert len((folder / "log.csv").read_text().splitlines()) == EPOCHS
    run(folder, resume=True)
    assert len((folder / "log.csv").read_text().splitlines()) == 1 + EPOCHS


# --- What is refused ---


@pytest.mark.parametrize(
    ("options", "different"),
    [
        ({"seed": 1}, "seed"),
        ({"recipe": dataclasses.replace(RECIPE, epochs=4)}, "recipe.epochs"),
        ({"recipe": with_optimizer(learning_rate=0.1)}, "recipe.optimizer.learning_rate"),
        ({"dropout": 0.1}, "model.attention_dropout, model.head_dropout, model.mlp_dropout"),
    ],
)
def test_a_run_is_not_resumed_with_other_options(
    options: dict[str, Any], different: str, finished: FinishedRun
) -> None:
    with pytest.raises(UsageError) as caught:
        run(finished.folder, resume=True, **options)
    assert f"another {different}. Give the options" in str(caught.value)


def test_a_run_is_not_resumed_on_other_data(finished: FinishedRun) -> None:
    with pytest.raises(UsageError, match="a run with another data"):
        run(finished.folder, resume=True, data=small_data(seed=5))


def test_a_resumed_run_knows_its_engine(finished: FinishedRun, tmp_path: Path) -> None:
    assert engine_of(tmp_path) is None
    # Started without a name.
    assert engine_of(finished.folder) is None
    folder = _copy(finished.folder, tmp_path / "run")
    state = json.loads((folder / "state.json").read_text())
    for name, expected in (("jax", ENGINES["jax"]), ("tensorflow-xla", ENGINES["tensorflow-xla"])):
        state["configuration"]["engine"] = name
        (folder / "state.json").write_text(json.dumps(state))
        assert engine_of(folder) == expected
    with pytest.raises(UsageError, match="a run with another engine"):
        run(folder, resume=True)
    # Of a version that did not write it down.
    del state["configuration"]["engine"]
    (folder / "state.json").write_text(json.dumps(state))
    assert engine_of(folder) is None


def test_an_existing_run_is_not_overwritten(finished: FinishedRun) -> None:
    before = (finished.folder / "state.json").read_bytes()
    with pytest.raises(UsageError, match=r"already holds a run\. Continue it with --resume"):
        run(finished.folder)
    assert (finished.folder / "state.json").read_bytes() == before


def test_a_file_in_place_of_the_folder_fails(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("")
    with pytest.raises(UsageError, match="is a file"):
        check_folder(path, resume=False)


def _copy(source: Path, target: Path) -> Path:
    target.mkdir()
    for path in filter(Path.is_file, source.iterdir()):
        (target / path.name).write_bytes(path.read_bytes())
    return target


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"configuration": 1, "epochs_done": 1, "weights": "x", "log": [{}]}',
        '{"configuration": {}, "epochs_done": 2, "weights": "x", "log": [{}]}',
        '{"configuration": {}, "epochs_done": 0, "weights": "x", "log": []}',
    ],
)
def test_a_damaged_state_fails(content: str, finished: FinishedRun, tmp_path: Path) -> None:
    folder = _copy(finished.folder, tmp_path / "run")
    (folder / "state.json").write_text(content)
    with pytest.raises(InputError, match="is not the state of a training run"):
        run(folder, resume=True)


@pytest.mark.parametrize("which", ["epoch", "best"])
@pytest.mark.parametrize("fraction", [None, 0.0, 0.1, 0.5, 0.99])
def test_damaged_weights_fail(
    which: str, fraction: float | None, finished: FinishedRun, tmp_path: Path
) -> None:
    folder = _copy(finished.folder, tmp_path / "run")
    (weights,) = folder.glob(f"{which}*.weights.h5")
    content = weights.read_bytes()
    weights.unlink()
    if fraction is not None:
        weights.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(InputError, match="cannot be read"):
        run(folder, resume=True)


_TRAIN = """
import sys
from pathlib import Path
from tests.support.training_runs import run
run(Path(sys.argv[1]), dropout=0.3)
"""


def test_a_killed_process_is_resumed_to_the_same_end(
    finished_with_dropout: FinishedRun, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _TRAIN, str(folder)], cwd=REPOSITORY
    )
    while not (folder / "state.json").exists() and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert json.loads((folder / "state.json").read_text())["epochs_done"] >= 1
    resumed = run(folder, dropout=finished_with_dropout.dropout, resume=True)
    check_same_end(resumed, finished_with_dropout)
