"""What a run does with its data, writes down, and refuses."""

import csv
import dataclasses
import errno
import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.training_parts import (
    EPOCHS,
    RECIPE,
    STEPS_PER_EPOCH,
    small_config,
    small_data,
    with_optimizer,
)
from tests.support.training_runs import FinishedRun, run, silent, weights_of
from training import loop
from training.batches import Batch
from training.engines import devices as devices_module
from training.engines.devices import choose_devices
from training.engines.tensorflow import TensorFlowEngine
from training.evaluation import evaluate
from training.loop import TrainingDiverged, split_validation, train
from training.recipes import AugmentationRecipe, MixingRecipe, load_recipe
from vitsd_export.errors import EnvironmentProblem, InputError, UsageError
from vitsd_export.model.classifier import build_classifier


@settings(max_examples=30, deadline=None, derandomize=True)
@given(count=st.integers(0, 60), wanted=st.integers(0, 10), seed=st.integers(0, 2**32 - 1))
def test_validation_images_are_taken_out_of_the_training_images(
    count: int, wanted: int, seed: int
) -> None:
    # Each image tells its place.
    images = (
        np.zeros((count, 1, 1, 3), np.uint8) + np.arange(count, dtype=np.uint8)[:, None, None, None]
    )
    data = dataclasses.replace(small_data(count), images=images, labels=np.arange(count) % 3)
    parts = split_validation(data, wanted, seed)
    training, validation = (part.images[:, 0, 0, 0].tolist() for part in parts)
    assert len(validation) == min(wanted, count // 10)
    assert sorted(training + validation) == list(range(count))
    for part in parts:
        np.testing.assert_array_equal(part.labels, part.images[:, 0, 0, 0] % 3)
    again = split_validation(data, wanted, seed)
    assert again[1].images[:, 0, 0, 0].tolist() == validation


def test_another_seed_holds_out_other_images() -> None:
    data = small_data(200)
    first, second = (split_validation(data, 20, seed)[1].sha256() for seed in (0, 1))
    assert first != second


def test_a_run_writes_its_log_and_keeps_one_checkpoint(finished: FinishedRun) -> None:
    with (finished.folder / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == finished.log
    assert [row["epoch"] for row in finished.log] == [1, 2, 3]
    for row in finished.log:
        assert set(row) == {
            "epoch",
            "image_size",
            "loss",
            "top1",
            "learning_rate",
            "images_per_second",
            "seconds",
            "validation_loss",
            "validation_top1",
        }
        assert all(math.isfinite(value) for value in row.values())
        assert 0 <= row["top1"] <= 1
        assert row["image_size"] == 8
    files = {path.name for path in finished.folder.iterdir()}
    best = f"best{finished.best_epoch:04d}.weights.h5"
    known = {"log.csv", "state.json", "recipe.toml", "tensorboard", "epoch0003.weights.h5", best}
    assert files == known
    assert load_recipe(str(finished.folder / "recipe.toml")) == RECIPE


def test_the_best_epoch_on_the_held_out_images_is_kept(finished: FinishedRun) -> None:
    scores = [row["validation_top1"] for row in finished.log]
    # Of equal epochs the later one.
    assert finished.best_epoch == max(
        range(1, EPOCHS + 1), key=lambda epoch: (scores[epoch - 1], epoch)
    )
    model = build_classifier(small_config())
    model.load_weights(finished.folder / f"best{finished.best_epoch:04d}.weights.h5")
    for weight, expected in zip(weights_of(model), finished.weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
    held_out = split_validation(small_data(), RECIPE.validation_images, 0)[1]
    assert evaluate(model, held_out).top1 == max(scores)


def test_without_held_out_images_the_last_epoch_is_kept(tmp_path: Path) -> None:
    trained = run(tmp_path / "run", recipe=dataclasses.replace(RECIPE, validation_images=0))
    assert trained.best_epoch == EPOCHS
    assert "validation_top1" not in trained.log[0]


def test_the_average_of_the_weights_is_what_is_kept(tmp_path: Path) -> None:
    """One step an epoch, two of the epochs: the average starts as the first weights."""
    averaging = dataclasses.replace(
        with_optimizer(ema_decay=0.75), epochs=25, batch_size=36, validation_images=0
    )
    plain = dataclasses.replace(
        averaging, optimizer=dataclasses.replace(averaging.optimizer, ema_decay=0.0)
    )
    data = small_data(36)
    first, second = (
        weights_of(run(tmp_path / f"{epochs}", recipe=plain, data=data, stop_after=epochs).model)
        for epochs in (1, 2)
    )
    average = weights_of(run(tmp_path / "average", recipe=averaging, data=data, stop_after=2).model)
    # The three first are the normalization's.
    for one, other, mean in zip(first[3:], second[3:], average[3:], strict=True):
        np.testing.assert_allclose(mean, 0.75 * one + 0.25 * other, atol=1e-6)


def test_a_run_learns(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=12)
    log = run(tmp_path / "run", recipe=recipe).log
    assert log[-1]["loss"] < log[0]["loss"] - 0.2
    assert log[-1]["top1"] > 0.7


def test_a_run_trains_on_augmented_images_of_the_whole_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[tuple[np.ndarray, np.ndarray]] = []

    def record(engine: TensorFlowEngine, batch: Batch) -> Any:
        batches.append((batch.pixels, batch.targets))
        return np.ones(2)

    monkeypatch.setattr(TensorFlowEngine, "step", record)
    monkeypatch.setattr(TensorFlowEngine, "figures", lambda engine, handle: (1.0, 0.0))
    plain = dataclasses.replace(RECIPE, augmentation=AugmentationRecipe(), mixing=MixingRecipe())
    run(tmp_path / "plain", recipe=plain)
    training, _ = split_validation(small_data(), RECIPE.validation_images, 0)
    known = {
        image.astype(np.float32).tobytes(): label
        for image, label in zip(training.images, training.labels, strict=True)  # type: ignore[arg-type]
    }
    assert len(batches) == EPOCHS * STEPS_PER_EPOCH
    orders = []
    for epoch in range(EPOCHS):
        of_epoch = batches[epoch * STEPS_PER_EPOCH : (epoch + 1) * STEPS_PER_EPOCH]
        images = np.concatenate([images for images, _ in of_epoch])
        labels = np.concatenate([labels for _, labels in of_epoch])
        assert images.dtype == labels.dtype == np.float32
        seen = [image.tobytes() for image in images]
        # No image twice, none of the validation images, each with its own label.
        assert len(set(seen)) == 32
        np.testing.assert_array_equal(labels, np.eye(3)[[known[image] for image in seen]])
        orders.append(seen)
    assert orders[0] != orders[1] != orders[2]

    batches.clear()
    run(tmp_path / "augmented")
    seen = [image.tobytes() for images, _ in batches for image in images]
    assert sum(image not in known for image in seen) > len(seen) / 2
    mixed = [bool(((labels > 0) & (labels < 1)).any()) for _, labels in batches]
    # Nothing is mixed in the last epoch.
    assert any(mixed[:STEPS_PER_EPOCH])
    assert not any(mixed[-STEPS_PER_EPOCH:])


def test_the_model_normalizes_by_its_training_images(finished: FinishedRun) -> None:
    training, _ = split_validation(small_data(), RECIPE.validation_images, 0)
    mean, variance = finished.weights[:2]
    np.testing.assert_allclose(mean, training.images.mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(variance, training.images.var(axis=(0, 1, 2)), rtol=1e-5)


def test_the_same_seed_gives_the_same_model_and_another_another(
    finished: FinishedRun, tmp_path: Path
) -> None:
    same = run(tmp_path / "same")
    other = run(tmp_path / "other", seed=1, stop_after=1)
    for row, known in zip(same.log, finished.log, strict=True):
        assert row["loss"] == pytest.approx(known["loss"], abs=1e-5)
    assert other.log[0]["loss"] != pytest.approx(finished.log[0]["loss"], abs=1e-4)


def test_progress_is_a_line_an_epoch_where_there_is_no_terminal(tmp_path: Path) -> None:
    console = silent()
    run(tmp_path / "run", console=console, stop_after=2)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split()[0] for line in lines] == ["epoch=1", "epoch=2"]
    assert "validation_top1=" in lines[0]


def test_progress_is_a_bar_with_the_time_left_on_a_terminal(tmp_path: Path) -> None:
    console = silent()
    console._force_terminal = True
    console.width = 200
    run(tmp_path / "run", console=console, stop_after=1)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "ETA" in shown
    assert "epoch 1/3" in shown
    assert "4/4" in shown
    assert "images/s" in shown


# --- What is refused ---


@pytest.mark.parametrize(
    ("changes", "data", "message"),
    [
        ({}, small_data(classes=4), "has 4 classes; the model has 3"),
        ({}, dataclasses.replace(small_data(), labels=None), "classes; the model has 3"),
        ({}, small_data(size=12), "the model takes 8×8 RGB"),
        ({}, small_data(count=8), "fewer than a batch of 9. Lower --batch-size"),
        ({}, small_data(count=0), "0 training images"),
    ],
)
def test_data_that_cannot_train_the_model_fails(
    changes: dict[str, Any], data: Any, message: str, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(RECIPE, batch_size=9, mixing=MixingRecipe())
    with pytest.raises(InputError) as caught:
        train(small_config(**changes), recipe, data, tmp_path / "run", console=silent())
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_more_devices_than_there_are_fail(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="--devices 9 asks for more"):
        run(tmp_path / "run", devices=9)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("batch_size", "together", "expected"),
    [(8, 1, 4), (8, 2, 4), (12, 2, 3), (6, 2, 3), (10, 2, 1), (7, 1, 1)],
)
def test_as_many_devices_are_used_as_share_a_batch_evenly(
    batch_size: int, together: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"cpu:{index}" for index in range(4)]
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: names)
    monkeypatch.setattr(devices_module, "_mirrored_strategy", lambda chosen: chosen)
    devices = choose_devices(None, batch_size, together=together)
    assert devices.names == tuple(names[:expected])
    assert devices.distribution == (None if expected == 1 else devices.names)


def test_a_batch_that_cannot_be_shared_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0", "cpu:1"])
    with pytest.raises(UsageError, match="batch of 10 cannot be shared evenly 4 ways"):
        choose_devices(2, 10, together=2)


def test_an_odd_batch_cannot_be_mixed() -> None:
    with pytest.raises(UsageError, match="batch_size must be even, not 9"):
        dataclasses.replace(RECIPE, batch_size=9)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    recipe = dataclasses.replace(
        RECIPE,
        optimizer=dataclasses.replace(
            RECIPE.optimizer, learning_rate=1e30, warmup_epochs=0, clip_norm=0
        ),
    )
    with pytest.raises(
        TrainingDiverged, match=r"in epoch 1, at step \d or before\. Lower --learning-rate"
    ) as caught:
        run(tmp_path / "run", recipe=recipe)
    assert caught.value.exit_code == 4
    assert not (tmp_path / "run" / "state.json").exists()


@pytest.mark.parametrize("what", ["loss", "weights"])
def test_divergence_keeps_the_last_checkpoint(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TensorFlowEngine.finish
    epochs = 0

    def diverge(engine: TensorFlowEngine) -> None:
        nonlocal epochs
        epochs += 1
        real(engine)
        if epochs == 2:
            bias = engine._program.model.get_layer("logits").bias
            bias.assign(np.full(bias.shape, np.inf))

    def nan_after_an_epoch(engine: TensorFlowEngine, handle: Any) -> tuple[float, float]:
        return (math.nan if epochs == 1 else 1.0), 0.0

    monkeypatch.setattr(TensorFlowEngine, "finish", diverge)
    if what == "loss":
        monkeypatch.setattr(TensorFlowEngine, "figures", nan_after_an_epoch)
    folder = tmp_path / "run"
    with pytest.raises(TrainingDiverged, match="The state after epoch 1 is kept") as caught:
        run(folder)
    assert caught.value.exit_code == 4
    state = json.loads((folder / "state.json").read_text())
    assert state["epochs_done"] == 1
    assert (folder / state["weights"]).exists()
    assert len((folder / "log.csv").read_text().splitlines()) == 2


def test_a_folder_that_cannot_be_made_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(EnvironmentProblem, match="cannot be made: Permission denied"):
        run(tmp_path / "run")


def test_the_statistics_are_exact() -> None:
    images = small_data(17).images
    mean, variance = loop._normalization_statistics(images)
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2), dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(variance, images.var(axis=(0, 1, 2), dtype=np.float64), rtol=1e-9)
