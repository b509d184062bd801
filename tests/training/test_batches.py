"""Batches that threads make: the right ones, in order, and no thread outlives its epoch."""

import dataclasses
import threading

import numpy as np
import pytest

from tests.support.training_parts import LIVELY, small_data
from training import batches
from training.augmentation.draws import Draws, draw_epoch
from training.augmentation.pipeline import augment
from training.batches import Batch, augmented_batches

DATA = small_data(96)
RECIPE = dataclasses.replace(LIVELY, batch_size=4)
STEPS = 24


def drawn() -> Draws:
    return draw_epoch(RECIPE, count=len(DATA), size=8, seed=5, epoch=0)


def made(draws: Draws) -> list[Batch]:
    assert DATA.labels is not None
    return list(augmented_batches(DATA.images, DATA.labels, 3, draws))


def augmenting_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("augmentation")]


@pytest.mark.parametrize("cores", [None, 1, 2, 4, 64])
def test_batches_are_those_of_the_draws_in_order_whatever_the_threads(
    cores: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches.os, "cpu_count", lambda: cores)
    draws = drawn()
    result = made(draws)
    assert len(result) == STEPS
    assert DATA.labels is not None
    for step, batch in enumerate(result):
        of_step = {name: array[step] for name, array in draws.items()}
        index = of_step.pop("index")
        pixels, targets = augment(
            DATA.images[index], np.eye(3, dtype=np.float32)[DATA.labels[index]], of_step
        )
        np.testing.assert_array_equal(batch.pixels, pixels)
        np.testing.assert_array_equal(batch.targets, targets)
        assert batch.pixels.dtype == batch.targets.dtype == np.float32
        assert batch.teacher is None


def test_answers_of_a_teacher_go_along_with_their_batch() -> None:
    draws = drawn()
    answers = np.random.default_rng(0).normal(size=(STEPS, 4, 3)).astype(np.float32)
    result = made({**draws, "teacher": answers})
    for step, (batch, plain) in enumerate(zip(result, made(draws), strict=True)):
        np.testing.assert_array_equal(batch.teacher, answers[step])
        np.testing.assert_array_equal(batch.pixels, plain.pixels)


def test_an_epoch_without_a_full_batch_has_none() -> None:
    assert made(draw_epoch(RECIPE, count=3, size=8, seed=0, epoch=0)) == []


@pytest.mark.parametrize("step", [0, STEPS // 2, STEPS - 1])
def test_an_error_of_the_augmentation_reaches_who_asks_for_that_batch(
    step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = drawn()
    spoiled = draws["matrix"][step]

    def fail(images: np.ndarray, labels: np.ndarray, of_step: Draws) -> object:
        if (of_step["matrix"] == spoiled).all():
            raise FloatingPointError("of this step")
        return augment(images, labels, of_step)

    monkeypatch.setattr(batches, "augment", fail)
    assert DATA.labels is not None
    stream = augmented_batches(DATA.images, DATA.labels, 3, draws)
    for _ in range(step):
        next(stream)
    with pytest.raises(FloatingPointError, match="of this step"):
        next(stream)
    assert not augmenting_threads()


def test_no_thread_outlives_an_epoch_that_is_left_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches.os, "cpu_count", lambda: 4)
    calls = 0

    def count(*arguments: np.ndarray) -> object:
        nonlocal calls
        calls += 1
        return augment(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(batches, "augment", count)
    assert DATA.labels is not None
    stream = augmented_batches(DATA.images, DATA.labels, 3, drawn())
    next(stream)
    assert augmenting_threads()
    stream.close()  # type: ignore[attr-defined]
    assert not augmenting_threads()
    # Those that lay ahead, and not the whole epoch.
    assert 1 <= calls < STEPS
