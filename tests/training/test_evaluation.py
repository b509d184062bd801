"""Loss and accuracy."""

import dataclasses
import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.small_runs import small_config, small_data
from training.evaluation import evaluate, score_logits
from vitsd_export.errors import InputError
from vitsd_export.model.classifier import build_classifier


@settings(max_examples=30, deadline=None, derandomize=True)
@given(count=st.integers(1, 12), classes=st.integers(1, 12), seed=st.integers(0, 999))
def test_scores_equal_a_loop(count: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Rounded, so that equal logits occur.
    logits = rng.normal(0, 3, (count, classes)).round()
    labels = rng.integers(0, classes, count)
    loss, hits, hits_of_five = 0.0, 0, 0
    for row, label in zip(logits, labels, strict=True):
        loss -= row[label] - math.log(sum(math.exp(value) for value in row))
        ranking = sorted(range(classes), key=lambda index, row=row: (-row[index], index))
        hits += ranking[0] == label
        hits_of_five += label in ranking[:5]
    score = score_logits(logits, labels)
    assert score.images == count
    assert score.loss == pytest.approx(loss / count)
    assert score.top1 == pytest.approx(hits / count)
    assert score.top5 == pytest.approx(hits_of_five / count)


def test_a_model_that_tells_nothing_scores_as_a_guess() -> None:
    score = score_logits(np.zeros((100, 10)), np.arange(100) % 10)
    assert (score.top1, score.top5) == (0.1, 0.5)
    assert score.loss == pytest.approx(math.log(10))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_answers_that_are_no_numbers_are_wrong(value: float) -> None:
    logits = np.tile([3.0, 1.0, 2.0], (4, 1))
    logits[1:3, 0] = value
    score = score_logits(logits, np.zeros(4, np.int64))
    assert (score.top1, score.top5) == (0.5, 0.5)


def test_large_logits_do_not_overflow() -> None:
    score = score_logits(np.array([[1e5, 0.0], [0.0, 1e5]]), np.array([0, 0]))
    assert score.loss == pytest.approx(5e4)


def test_every_image_is_scored_by_the_model() -> None:
    model = build_classifier(small_config())
    data = small_data(count=11)
    logits = keras.ops.convert_to_numpy(model(data.images.astype(np.float32)))
    assert data.labels is not None
    expected = score_logits(logits.astype(np.float64), data.labels)
    # The last batch is smaller than the others.
    score = evaluate(model, data, batch_size=4)
    assert score.images == 11
    assert dataclasses.astuple(score) == pytest.approx(dataclasses.astuple(expected), abs=1e-5)


def test_images_without_labels_fail() -> None:
    data = dataclasses.replace(small_data(), labels=None)
    with pytest.raises(InputError, match="no labelled images"):
        evaluate(build_classifier(small_config()), data)
    with pytest.raises(InputError, match="no labelled images"):
        evaluate(build_classifier(small_config()), small_data(count=0))
