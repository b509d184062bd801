"""Figures of a classifier, in all and class by class."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation import score_logits
from training.report import calibration_error, report_logits


def names(count: int) -> list[str]:
    return [f"class {index}" for index in range(count)]


def softmax(row: np.ndarray) -> list[float]:
    powers = [math.exp(value - max(row)) for value in row]
    return [power / sum(powers) for power in powers]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(count=st.integers(1, 40), classes=st.integers(1, 7), seed=st.integers(0, 999))
def test_figures_equal_loops(count: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Rounded, so that equal logits occur; few images, so that classes are missing.
    logits = rng.normal(0, 2, (count, classes)).round()
    labels = rng.integers(0, classes, count)
    logits[rng.random(count) < 0.1, 0] = np.nan
    report = report_logits(logits, labels, names(classes))

    confusion = [[0] * classes for _ in range(classes)]
    unanswered = [0] * classes
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        if any(math.isnan(value) for value in row):
            unanswered[label] += 1
        else:
            confusion[label][row.index(max(row))] += 1
    assert report.confusion.tolist() == confusion
    assert report.confusion.dtype == np.int64
    assert report.unanswered == sum(unanswered)
    assert report.top1 == pytest.approx(sum(confusion[c][c] for c in range(classes)) / count)
    assert report.top5 == score_logits(logits, labels).top5
    assert [row.name for row in report.classes] == names(classes)
    for label, row in enumerate(report.classes):
        images = labels.tolist().count(label)
        taken = sum(line[label] for line in confusion)
        assert (row.images, row.unanswered) == (images, unanswered[label])
        assert row.recall == (confusion[label][label] / images if images else None)
        assert row.precision == (confusion[label][label] / taken if taken else None)
        others = {c: n for c, n in enumerate(confusion[label]) if c != label and n}
        most = max(others.values(), default=0)
        assert row.taken_for_images == most
        first = next((c for c, n in others.items() if n == most), None)
        assert row.taken_for == (None if first is None else f"class {first}")


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    count=st.integers(1, 60),
    classes=st.integers(2, 30),
    spread=st.sampled_from([0.3, 1.0, 3.0]),
    seed=st.integers(0, 999),
)
def test_calibration_error_equals_its_definition(
    count: int, classes: int, spread: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (count, classes))
    labels = rng.integers(0, classes, count)
    error = 0.0
    for m in range(1, 16):
        members = [
            (max(softmax(row)), softmax(row).index(max(softmax(row))) == label)
            for row, label in zip(logits, labels, strict=True)
            if (m - 1) / 15 < max(softmax(row)) <= m / 15
        ]
        if members:
            accuracy = sum(right for _, right in members) / len(members)
            confidence = sum(highest for highest, _ in members) / len(members)
            error += len(members) / count * abs(accuracy - confidence)
    assert calibration_error(logits, labels) == pytest.approx(error, abs=1e-12)


def test_calibration_error_of_known_cases() -> None:
    # Always sure and always right; always sure and right half of the time.
    sure = np.tile([50.0, 0.0], (8, 1))
    assert calibration_error(sure, np.zeros(8, int)) == pytest.approx(0)
    assert calibration_error(sure, np.arange(8) % 2) == pytest.approx(0.5)
    # 80 % sure and right in 8 of 10.
    modest = np.tile(np.log([0.8, 0.2]), (10, 1))
    assert calibration_error(modest, np.array([0] * 8 + [1] * 2)) == pytest.approx(0)
    # Too high in one bin and too low in another do not cancel.
    mixed = np.log([[0.9, 0.1], [0.6, 0.4]])
    assert calibration_error(mixed, np.array([1, 0])) == pytest.approx((0.9 + 0.4) / 2)
    assert calibration_error(np.array([[1e4, 0.0]]), np.array([1])) == pytest.approx(1)
    # In the lowest bin and in the next one.
    low = np.log([[0.06] + [0.94 / 19] * 19, [0.12] + [0.88 / 19] * 19])
    assert calibration_error(low, np.array([1, 0])) == pytest.approx((0.06 + 0.88) / 2)


def test_unanswered_images_are_wrong_and_in_no_column() -> None:
    logits = np.array([[2.0, 1.0], [np.nan, 1.0], [0.0, np.inf], [1.0, 3.0]])
    report = report_logits(logits, np.array([0, 0, 1, 1]), ["cat", "dog"])
    assert report.confusion.tolist() == [[1, 0], [0, 1]]
    assert (report.top1, report.unanswered) == (0.5, 2)
    assert [(row.recall, row.precision, row.unanswered) for row in report.classes] == [
        (0.5, 1.0, 1),
        (0.5, 1.0, 1),
    ]
    # Of the two that are answered.
    expected = ((1 - softmax(logits[0])[0]) + (1 - softmax(logits[3])[1])) / 2
    assert report.calibration_error == pytest.approx(expected)


def test_json_has_no_numbers_that_json_has_not() -> None:
    report = report_logits(np.full((2, 3), np.nan), np.array([0, 0]), names(3))
    assert math.isnan(report.loss)
    assert math.isnan(report.calibration_error)
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["loss"] is None
    assert document["expected_calibration_error"] is None
    assert (document["top1"], document["top5"], document["unanswered"]) == (0, 0, 2)
    assert document["confusion_matrix"] == [[0] * 3] * 3
    assert document["classes"][0] == {
        "name": "class 0",
        "images": 2,
        "recall": 0.0,
        "precision": None,
        "taken_for": None,
        "taken_for_images": 0,
        "unanswered": 2,
    }
    assert document["classes"][1]["recall"] is None


def test_worst_classes_come_first_and_those_without_images_last() -> None:
    logits = np.eye(4)[[1, 1, 1, 3, 2, 3]]
    report = report_logits(logits, np.array([1, 0, 1, 3, 3, 3]), names(4))
    assert [row.name for row in report.worst_classes()] == [
        "class 0",
        "class 3",
        "class 1",
        "class 2",
    ]


def test_a_report_cannot_be_changed() -> None:
    report = report_logits(np.eye(2), np.arange(2), names(2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.top1 = 1.0  # type: ignore[misc]
