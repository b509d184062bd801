"""Tests of parity and accuracy as a row has them, against loops in plain Python."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from vitsd_export.data.dataset import ImageDataset
from vitsd_export.measure.benchmark.figures import accuracy_figures, encode_png, parity_figures
from vitsd_export.measure.parity import kl_divergences

NAMES = ("ant", "bee", "cat", "dog", "eel", "fox")


def random_answers(seed: int, count: int = 40) -> np.ndarray:
    powers = np.exp(np.random.default_rng(seed).normal(0, 2, (count, len(NAMES))))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def data() -> ImageDataset:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(NAMES) - 1, 40)  # No fox among them.
    return ImageDataset(
        rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8),
        labels.astype(np.int64),
        NAMES,
        "random",
        "test",
        "here",
    )


def test_the_divergence_is_that_of_its_definition() -> None:
    p, q = random_answers(1), random_answers(2)
    expected = [
        math.fsum(float(a) * math.log(float(a) / float(b)) for a, b in zip(x, y, strict=True))
        for x, y in zip(p, q, strict=True)
    ]
    np.testing.assert_allclose(kl_divergences(p, q), expected, rtol=1e-5, atol=1e-7)


def test_the_divergence_from_oneself_is_none_and_from_others_positive() -> None:
    p = random_answers(1)
    assert np.abs(kl_divergences(p, p)).max() == 0
    assert kl_divergences(p, random_answers(2)).min() > 0


def test_an_answer_rounded_to_nothing_has_a_finite_divergence() -> None:
    divergences = kl_divergences(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]))
    # Zero counts as half a step of 8 bits.
    total = 1 + 1 / 512
    expected = 0.5 * math.log(0.5 * total) + 0.5 * math.log(0.5 * 512 * total)
    assert divergences == pytest.approx([expected])


def test_parity_is_that_of_the_arrays(data: ImageDataset) -> None:
    reference, answers = random_answers(1), random_answers(2)
    figures = parity_figures(reference, answers, data, NAMES, worst=3)
    difference = np.abs(reference.astype(np.float64) - answers.astype(np.float64))
    assert figures.images == 40
    assert figures.max_abs_difference == difference.max()
    assert figures.mean_abs_difference == pytest.approx(difference.mean())
    same = sum(
        int(np.argmax(a)) == int(np.argmax(b)) for a, b in zip(reference, answers, strict=True)
    )
    assert figures.top1_agreement == same / 40
    assert figures.kl == pytest.approx(kl_divergences(reference, answers).mean())


def test_the_worst_images_are_those_furthest_off(data: ImageDataset) -> None:
    reference, answers = random_answers(1), random_answers(2)
    worst = parity_figures(reference, answers, data, NAMES, worst=5).worst
    distances = {
        index: max(
            abs(float(a) - float(b)) for a, b in zip(reference[index], answers[index], strict=True)
        )
        for index in range(40)
    }
    expected = sorted(distances, key=lambda index: -distances[index])[:5]
    assert [image.index for image in worst] == expected
    first = worst[0]
    assert first.max_abs_difference == pytest.approx(distances[expected[0]])
    assert data.labels is not None
    assert first.label == NAMES[data.labels[expected[0]]]
    assert first.answer_label == NAMES[int(answers[expected[0]].argmax())]
    assert first.answer_probability == answers[expected[0]].max()
    assert first.reference_label == NAMES[int(reference[expected[0]].argmax())]


def test_a_thumbnail_is_the_image(data: ImageDataset) -> None:
    picture = Image.open(io.BytesIO(base64.b64decode(encode_png(data.images[7]))))
    assert picture.format == "PNG"
    np.testing.assert_array_equal(np.asarray(picture), data.images[7])


def test_answers_that_are_no_numbers_have_no_figures_but_agreement(data: ImageDataset) -> None:
    answers = random_answers(1)
    answers[3] = np.nan
    figures = parity_figures(random_answers(1), answers, data, NAMES, worst=40)
    assert (figures.max_abs_difference, figures.kl) == (None, None)
    assert figures.top1_agreement == 39 / 40
    assert 3 not in [image.index for image in figures.worst]


def test_accuracy_is_counted_overall_and_by_class(data: ImageDataset) -> None:
    answers = random_answers(2)
    figures = accuracy_figures(answers, data)
    assert data.labels is not None
    right = [
        int(answer.argmax()) == label for answer, label in zip(answers, data.labels, strict=True)
    ]
    assert figures.top1.value == sum(right) / 40
    assert figures.top1.low < figures.top1.value < figures.top1.high
    assert figures.top5 is not None
    assert figures.top5.value >= figures.top1.value
    assert [entry.label for entry in figures.classes] == list(NAMES[:-1])
    assert sum(entry.images for entry in figures.classes) == 40
    for entry in figures.classes:
        here = [
            hit
            for hit, label in zip(right, data.labels, strict=True)
            if NAMES[label] == entry.label
        ]
        assert entry.top1.value == sum(here) / len(here)


def test_fewer_than_five_classes_have_no_top_5() -> None:
    data = ImageDataset(
        np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1]), ("a", "b"), "two", "test", "here"
    )
    assert accuracy_figures(np.eye(2, dtype=np.float32), data).top5 is None
