"""Warm-up, cosine and weight decay as they reach the weights."""

import dataclasses
import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.training_parts import EPOCHS, STEPS_PER_EPOCH, small_config
from tests.support.training_runs import RECIPE as SMALL
from tests.support.training_runs import FinishedRun
from training.optimizer import build_optimizer
from training.recipes import OptimizerRecipe
from vitsd_export.model.classifier import build_classifier


def recipe(
    *, learning_rate: float = 0.5, weight_decay: float = 0.0, clip: float = 0.0, warmup: float = 0.0
) -> OptimizerRecipe:
    return OptimizerRecipe(learning_rate, weight_decay, clip, warmup)


def scheduled(step: int, peak: float, warmup_steps: int, total_steps: int) -> float:
    """Linear warm-up from zero, then half a period of a cosine down to zero."""
    if step < warmup_steps:
        return peak * step / warmup_steps
    done = min(1.0, (step - warmup_steps) / (total_steps - warmup_steps))
    return peak * (1 + math.cos(math.pi * done)) / 2


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    epochs=st.integers(1, 40),
    steps=st.integers(1, 30),
    warmup=st.floats(0, 60),
    peak=st.floats(1e-5, 1.0),
)
def test_the_schedule_is_warm_up_and_cosine(
    epochs: int, steps: int, warmup: float, peak: float
) -> None:
    optimizer = build_optimizer(
        recipe(learning_rate=peak, warmup=warmup), epochs=epochs, steps_per_epoch=steps
    )
    total = epochs * steps
    warmup_steps = min(round(warmup * steps), total // 2)
    places = {0, 1, warmup_steps, (warmup_steps + total) // 2, total - 1, total, total + 5}
    for step in sorted(places):
        optimizer.iterations.assign(step)
        expected = scheduled(step, peak, warmup_steps, total)
        assert float(optimizer.learning_rate) == pytest.approx(expected, rel=1e-4, abs=1e-6 * peak)


@pytest.mark.parametrize(("warmup", "warmup_steps"), [(5.0, 30), (0.5, 15), (0.0, 0)])
def test_a_later_stage_has_a_lower_peak_and_warms_up_for_an_epoch_at_most(
    warmup: float, warmup_steps: int
) -> None:
    own = dataclasses.replace(recipe(warmup=warmup), later_stage_factor=0.4)
    optimizer = build_optimizer(own, epochs=12, steps_per_epoch=30, is_later_stage=True)
    for step in (0, 1, 14, 29, 30, 31, 180, 359):
        optimizer.iterations.assign(step)
        expected = scheduled(step, 0.2, warmup_steps, 360)
        assert float(optimizer.learning_rate) == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_a_later_stage_ends_where_the_cosine_ends_or_at_its_lower_peak() -> None:
    for final, expected in ((0.01, 0.01), (0.4, 0.05)):
        own = dataclasses.replace(recipe(), final_learning_rate=final, later_stage_factor=0.1)
        optimizer = build_optimizer(own, epochs=2, steps_per_epoch=10, is_later_stage=True)
        optimizer.iterations.assign(20)
        assert float(optimizer.learning_rate) == pytest.approx(expected, rel=1e-4)


def test_the_schedule_sets_the_size_of_the_updates() -> None:
    """Under a constant gradient Adam's step is the learning rate."""
    optimizer = build_optimizer(recipe(warmup=2), epochs=5, steps_per_epoch=3)
    weight = keras.Variable(np.zeros(4, np.float32), name="kernel")
    optimizer.build([weight])
    before = weight.numpy()
    for step in range(15):
        optimizer.apply([keras.ops.ones(4)])
        expected = scheduled(step, 0.5, 6, 15)
        np.testing.assert_allclose(before - weight.numpy(), expected, rtol=1e-3, atol=1e-6)
        before = weight.numpy()


def test_weight_decay_shrinks_kernels_and_nothing_else() -> None:
    model = build_classifier(small_config(dropout=0.1, head_units=(6,)))
    for weight in model.trainable_weights:
        weight.assign(np.full(weight.shape, 2, np.float32))
    optimizer = build_optimizer(recipe(weight_decay=0.3), epochs=1, steps_per_epoch=1000)
    optimizer.build(model.trainable_weights)
    # Without gradients the decay alone moves a weight.
    optimizer.apply([keras.ops.zeros(weight.shape) for weight in model.trainable_weights])
    shrunk = {weight.name for weight in model.trainable_weights if not (weight.numpy() == 2).all()}
    kept = {weight.name for weight in model.trainable_weights if (weight.numpy() == 2).all()}
    assert shrunk == {"kernel"}
    assert kept == {"bias", "gamma", "beta", "tau", "embedding"}
    for weight in model.trainable_weights:
        if weight.name == "kernel":
            np.testing.assert_allclose(weight.numpy(), 2 * (1 - 0.3 * 0.5), rtol=1e-5)


@pytest.mark.parametrize(("clip", "limit"), [(0.0, None), (1.5, 1.5)])
def test_gradients_are_clipped_where_the_recipe_says_so(clip: float, limit: float | None) -> None:
    assert build_optimizer(recipe(clip=clip), epochs=1, steps_per_epoch=1).global_clipnorm == limit


def test_a_run_follows_the_schedule(finished: FinishedRun) -> None:
    total = EPOCHS * STEPS_PER_EPOCH
    peak = SMALL.optimizer.learning_rate
    for epoch, row in enumerate(finished.log, 1):
        expected = scheduled(epoch * STEPS_PER_EPOCH, peak, 5, total)
        assert row["learning_rate"] == pytest.approx(expected, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(("epochs", "momentum"), [(2000, 0.9995), (10, 0.95), (1, 0.5)])
def test_the_average_reaches_over_a_fifth_of_a_stage_at_most(epochs: int, momentum: float) -> None:
    own = dataclasses.replace(recipe(), ema_decay=0.9995)
    optimizer = build_optimizer(own, epochs=epochs, steps_per_epoch=10)
    assert optimizer.ema_momentum == pytest.approx(momentum)
