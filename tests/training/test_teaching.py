"""Distillation: the loss, who may teach, and answers that are stored for views that come again."""

import collections
import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.support.small_models import build_small, set_random_weights
from tests.support.training_parts import LIVELY, RECIPE, small_config, small_data
from tests.support.training_runs import run, weights_of
from training.batches import Batch
from training.engines.program import Program
from training.recipes import DistillationRecipe, LossRecipe, MixingRecipe, Recipe
from training.stage import TrainingDiverged
from training.teaching import Lessons, Teacher, load_teacher
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import InputError, UsageError
from vitsd_export.model.classifier import build_classifier
from vitsd_export.sources.checkpoint import write_model

# The loss.


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def cross_entropy(shares: np.ndarray, logits: np.ndarray) -> float:
    return float(-(shares * np.log(softmax(logits))).sum(axis=1).mean())


@pytest.mark.parametrize(
    ("weight", "temperature", "smoothing"),
    [(0.8, 2.0, 0.1), (0.0, 3.0, 0.1), (1.0, 0.5, 0.0), (0.3, 1.0, 0.0)],
)
def test_the_loss_is_that_of_the_paper(weight: float, temperature: float, smoothing: float) -> None:
    rng = np.random.default_rng(0)
    z, t = 3 * rng.normal(size=(2, 7, 4))
    targets = rng.dirichlet(np.ones(4), 7)
    recipe = dataclasses.replace(
        RECIPE, loss=LossRecipe(smoothing), distillation=DistillationRecipe(weight, temperature)
    )
    program = Program(keras.Model(), keras.optimizers.SGD(), recipe)
    targets32, z32, t32 = (keras.ops.cast(array, "float32") for array in (targets, z, t))
    smoothed = targets * (1 - smoothing) + smoothing / 4
    labels = cross_entropy(smoothed, z)
    taught = cross_entropy(softmax(t / temperature), z / temperature) * temperature**2
    assert float(program.loss(targets32, z32)) == pytest.approx(labels, rel=1e-5)
    assert float(program.loss(targets32, z32, t32)) == pytest.approx(
        (1 - weight) * labels + weight * taught, rel=1e-5
    )


# Who may teach.


def write_teacher(
    path: Path, labels: tuple[str, ...] | None = ("a", "b", "c"), **changes: Any
) -> str:
    config = small_config(num_classes=len(labels or "abc"), **changes)
    model = build_classifier(config)
    set_random_weights(model, seed=4)
    write_model(model, config, path, {} if labels is None else {"labels": list(labels)})
    return str(path)


@pytest.mark.parametrize("labels", [("a", "b", "c"), None])
def test_a_teacher_of_the_same_classes_is_read(
    labels: tuple[str, ...] | None, tmp_path: Path
) -> None:
    teacher = load_teacher(write_teacher(tmp_path / "t.keras", labels), small_data(), "float32")
    assert len(teacher.sha256) == 64
    pixels = small_data(4).images.astype(np.float32)
    assert teacher.model.predict_on_batch(pixels).shape == (4, 3)


def test_a_teacher_answers_nearly_the_same_in_bfloat16(tmp_path: Path) -> None:
    path = write_teacher(tmp_path / "t.keras")
    pixels = small_data(8).images.astype(np.float32)
    exact, rounded = (
        np.asarray(load_teacher(path, small_data(), p).model.predict_on_batch(pixels))  # type: ignore[arg-type]
        for p in ("float32", "bfloat16")
    )
    assert rounded.dtype == np.float32
    assert 0 < np.abs(exact - rounded).max() < 0.1 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("labels", "data", "message"),
    [
        (("a", "b", "d"), small_data(), "has other classes than"),
        (("b", "a", "c"), small_data(), "has other classes than"),
        (("a", "b"), small_data(), "has other classes than"),
        (None, small_data(classes=4), "has 3 classes; random images has 4"),
        (("a", "b", "c"), small_data(size=12), "takes images of 8 pixels; random images has 12"),
    ],
)
def test_a_teacher_of_other_classes_or_sizes_is_refused(
    labels: tuple[str, ...] | None, data: ImageDataset, message: str, tmp_path: Path
) -> None:
    path = write_teacher(tmp_path / "t.keras", labels)
    with pytest.raises(InputError, match=message) as caught:
        load_teacher(path, data, "float32")
    assert caught.value.exit_code == 3


# Views that come again.


class MeanColors:
    """A teacher whose logits are an image's mean colours, and which counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def predict_on_batch(self, pixels: np.ndarray) -> np.ndarray:
        self.asked += 1
        return np.asarray(pixels.mean(axis=(1, 2)) / 50 - 2)


VIEWED = dataclasses.replace(LIVELY, epochs=6, distillation=DistillationRecipe(views=2))
"""Epochs 0–4 are mixed and repeat two views, epoch 5 is not mixed: six times four steps."""
STEPS = 4


def lessons(folder: Path, recipe: Recipe = VIEWED, **changes: Any) -> tuple[Lessons, MeanColors]:
    model = MeanColors()
    taught = Lessons(recipe, small_data(36), 3, Teacher(model, "0"), folder)
    return dataclasses.replace(taught, **changes), model


def epochs(taught: Lessons, count: int) -> list[list[Batch]]:
    return [list(taught.batches(epoch)) for epoch in range(count)]


def check_answers(batches: list[Batch], tolerance: float = 4e-3) -> None:
    """Stored answers are float16."""
    assert len(batches) == STEPS
    for batch in batches:
        assert batch.teacher is not None
        assert batch.teacher.dtype == np.float32
        expected = MeanColors().predict_on_batch(batch.pixels)
        np.testing.assert_allclose(batch.teacher, expected, atol=tolerance)


def pairs(batches: list[Batch]) -> list[bytes]:
    """What each two neighbours are, which may be mixed with each other."""
    found = []
    for batch in batches:
        for row in range(0, len(batch.pixels), 2):
            both = slice(row, row + 2)
            found.append(batch.pixels[both].tobytes() + batch.targets[both].tobytes())
    return found


def test_a_view_comes_again_in_another_order_with_the_answers_to_its_very_pixels(
    tmp_path: Path,
) -> None:
    taught, model = lessons(tmp_path)
    assert [taught.view(epoch) for epoch in range(6)] == [0, 1, 0, 1, 0, 5]
    seen = epochs(taught, 6)
    # Views 0 and 1, and the epoch without mixing.
    assert model.asked == 3 * STEPS
    for batches in seen:
        check_answers(batches)
    orders = [pairs(batches) for batches in seen]
    for view, again in ((0, 2), (0, 4), (1, 3)):
        assert collections.Counter(orders[view]) == collections.Counter(orders[again])
        assert orders[view] != orders[again]
    assert orders[2] != orders[4]
    assert not set(orders[0]) & set(orders[1])
    mixed = [bool(((b.targets > 0) & (b.targets < 1)).any()) for b in (seen[4][0], seen[5][0])]
    assert mixed == [True, False]
    # That epoch does not come again.
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "teacher-view0000.npy",
        "teacher-view0001.npy",
    ]
    # Of the first answers not even float16's rounding is seen.
    check_answers(seen[0], 1e-6)


def test_epochs_are_the_same_whether_or_not_the_ones_before_were_made(tmp_path: Path) -> None:
    taught, _ = lessons(tmp_path)
    expected = epochs(taught, 3)[2]
    for batch, other in zip(taught.batches(2), expected, strict=True):
        np.testing.assert_array_equal(batch.pixels, other.pixels)
        np.testing.assert_array_equal(batch.teacher, other.teacher)


@pytest.mark.parametrize("damage", ["deleted", "cut", "garbage", "empty", "of another size"])
def test_damaged_answers_are_asked_for_again(damage: str, tmp_path: Path) -> None:
    taught, model = lessons(tmp_path)
    expected = epochs(taught, 2)
    asked = model.asked
    path = tmp_path / "teacher-view0000.npy"
    whole = path.read_bytes()
    if damage == "deleted":
        path.unlink()
    elif damage == "of another size":
        np.save(path, np.zeros((5, 3), np.float16))
    else:
        path.write_bytes({"cut": whole[:-7], "garbage": b"garbage" * 40, "empty": b""}[damage])
    check_answers(list(taught.batches(2)), 1e-6)
    assert model.asked == asked + STEPS
    # The view in its own order, as after a resume: stored anew.
    for batch, other in zip(taught.batches(0), expected[0], strict=True):
        np.testing.assert_array_equal(batch.pixels, other.pixels)
    assert path.read_bytes() == whole


def test_an_epoch_that_is_broken_off_stores_nothing(tmp_path: Path) -> None:
    taught, _ = lessons(tmp_path)
    next(taught.batches(0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("views", [0, 9])
def test_without_repeated_views_every_epoch_is_its_own(views: int, tmp_path: Path) -> None:
    recipe = dataclasses.replace(VIEWED, distillation=DistillationRecipe(views=views))
    taught, model = lessons(tmp_path, recipe)
    assert [taught.view(epoch) for epoch in range(6)] == list(range(6))
    epochs(taught, 2)
    assert model.asked == 2 * STEPS
    assert bool(list(tmp_path.iterdir())) == bool(views)


def test_without_a_teacher_views_do_not_repeat(tmp_path: Path) -> None:
    taught, _ = lessons(tmp_path, teacher=None)
    assert [taught.view(epoch) for epoch in range(6)] == list(range(6))
    batches = list(taught.batches(2))
    assert {batch.teacher for batch in batches} == {None}
    assert not list(tmp_path.iterdir())


def test_single_images_are_reordered_where_a_batch_is_odd(tmp_path: Path) -> None:
    recipe = dataclasses.replace(VIEWED, batch_size=9, mixing=MixingRecipe())
    taught, _ = lessons(tmp_path, recipe)
    seen = epochs(taught, 3)
    for batches in seen:
        check_answers(batches)
    one, again = (np.concatenate([b.pixels for b in seen[epoch]]) for epoch in (0, 2))
    assert sorted(i.tobytes() for i in one) == sorted(i.tobytes() for i in again)
    assert (one != again).any()


# Whole runs.

TAUGHT = dataclasses.replace(RECIPE, distillation=DistillationRecipe(views=1))


def test_a_taught_run_is_resumed_to_the_same_end_but_by_no_other_teacher(tmp_path: Path) -> None:
    teacher = write_teacher(tmp_path / "t.keras")
    unbroken = run(tmp_path / "unbroken", recipe=TAUGHT, teacher=teacher)
    folder = tmp_path / "run"
    run(folder, recipe=TAUGHT, teacher=teacher, stop_after=1)
    other = str(tmp_path / "other.keras")
    write_model(build_small(key_dim=4), small_config(), Path(other), {"labels": ["a", "b", "c"]})
    for wrong in (other, None):
        with pytest.raises(UsageError, match="a run with another teacher"):
            run(folder, recipe=TAUGHT, teacher=wrong, resume=True)
    resumed = run(folder, recipe=TAUGHT, teacher=teacher, resume=True)
    for row, expected in zip(resumed.log, unbroken.log, strict=True):
        assert row["loss"] == pytest.approx(expected["loss"], abs=1e-5)
    for one, expected_weight in zip(
        weights_of(resumed.model), weights_of(unbroken.model), strict=True
    ):
        np.testing.assert_allclose(one, expected_weight, atol=1e-5)


def test_answers_of_a_run_that_was_given_up_are_not_another_runs(tmp_path: Path) -> None:
    """It stored answers but no checkpoint, so that its folder can be trained into anew."""
    teacher = write_teacher(tmp_path / "t.keras")
    folder = tmp_path / "run"
    folder.mkdir()
    np.save(folder / "teacher-view0000.npy", np.full((32, 3), np.nan, np.float16))
    try:
        trained = run(folder, recipe=TAUGHT, teacher=teacher, stop_after=1)
    except TrainingDiverged:
        pytest.fail("It learnt from another run's answers.")
    assert np.isfinite(trained.log[0]["loss"])
