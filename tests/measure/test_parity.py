"""Tests of comparing answers, and of the gates."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.keras_models import softmax
from vitsd_export.errors import InputError, UsageError
from vitsd_export.measure.accuracy import paired_interval
from vitsd_export.measure.gates import Verification, check_parity, gate_for
from vitsd_export.measure.parity import Parity, compare, kl_divergences
from vitsd_export.quantization.schemes import SCHEMES

CLASSES = 6


def _one_hot(classes: np.ndarray | list[int]) -> np.ndarray:
    return np.eye(CLASSES, dtype=np.float32)[np.asarray(classes)]


def _random(images: int, seed: int = 1) -> np.ndarray:
    powers = np.random.default_rng(seed).exponential(size=(images, CLASSES))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def _parity(images: int, **changes: object) -> Parity:
    """Perfect parity on some images, with changes."""
    perfect = Parity(
        images=images,
        max_abs_difference=0.0,
        mean_abs_difference=0.0,
        kl=0.0,
        top1_agreeing=images,
        sure=images,
        sure_agreeing=images,
        top5_agreement=1.0,
        reference_correct=images,
        lost=0,
        gained=0,
        non_finite=0,
    )
    return dataclasses.replace(perfect, **changes)  # type: ignore[arg-type]


def test_equal_answers_have_no_difference() -> None:
    answers = _one_hot([0, 3, 5]) * np.float32(0.5) + np.float32(1 / 12)
    parity = compare(answers, answers.copy(), answers.argmax(axis=1))
    assert parity == _parity(3)
    assert (parity.top1_agreement, parity.reference_top1, parity.artifact_top1) == (1, 1, 1)


def test_figures_are_those_of_the_definition() -> None:
    reference = np.array([[0.5, 0.3, 0.1, 0.05, 0.03, 0.02], [0.1, 0.6, 0.1, 0.1, 0.1, 0.0]])
    answers = np.array([[0.3, 0.5, 0.1, 0.05, 0.02, 0.03], [0.1, 0.5, 0.1, 0.1, 0.1, 0.1]])
    parity = compare(reference, answers, np.array([0, 1]))
    assert parity.max_abs_difference == pytest.approx(0.2, abs=1e-15)
    assert parity.mean_abs_difference == pytest.approx((0.4 + 0.02 + 0.2) / 12, abs=1e-15)
    assert (parity.top1_agreeing, parity.top1_agreement) == (1, 0.5)
    # Image 0 shares four of its five; in image 1 the tie at 0.1 goes to the lower classes, so all five.
    assert parity.top5_agreement == pytest.approx(0.9)
    assert (parity.reference_correct, parity.lost, parity.gained) == (2, 1, 0)
    assert (parity.reference_top1, parity.artifact_top1) == (1.0, 0.5)


def test_where_the_reference_is_unsure_it_is_not_counted_as_sure() -> None:
    # Margins of 0.06, 0.15 and 0.4.
    reference = np.array([[0.34, 0.26, 0.4], [0.5, 0.35, 0.15], [0.6, 0.2, 0.2]])
    answers = np.array([[0.38, 0.26, 0.36], [0.4, 0.5, 0.1], [0.6, 0.2, 0.2]])
    parity = compare(reference, answers)
    assert (parity.top1_agreeing, parity.sure, parity.sure_agreeing) == (1, 2, 1)


def test_the_divergence_is_that_of_the_definition() -> None:
    reference, answers = _random(7), _random(7, seed=2)
    rows = [
        sum(float(p) * math.log(float(p) / float(q)) for p, q in zip(*pair, strict=True))
        for pair in zip(reference, answers, strict=True)
    ]
    assert compare(reference, answers).kl == pytest.approx(sum(rows) / 7, rel=1e-5)


def test_rounding_of_the_answers_alone_is_no_divergence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (300, 100))
    reference = softmax(logits)
    steps = np.round(reference * 256) / 256
    assert np.count_nonzero(steps == 0) > 3000
    assert compare(reference, steps).kl == 0
    # A fault is seen through the rounding as it is without it.
    wrong = softmax(logits + rng.normal(0, 0.2, (300, 100)))
    seen = compare(reference, np.round(wrong * 256) / 256).kl
    assert seen == pytest.approx(compare(reference, wrong).kl, rel=0.3)
    # Answers of zero and one alone are not forgiven as steps.
    assert compare(reference, np.eye(100)[reference.argmax(axis=1)]).kl > 1


def test_a_tie_goes_to_the_lowest_class() -> None:
    tie = np.array([[0.5, 0.5, 0, 0, 0, 0]])
    assert compare(tie, _one_hot([0])).top1_agreeing == 1
    assert compare(tie, _one_hot([1])).top1_agreeing == 0


def test_few_classes_have_no_top5() -> None:
    assert compare(np.eye(4), np.eye(4)).top5_agreement is None


@pytest.mark.parametrize("labels", [None, np.array([0, CLASSES]), np.array([-1, 0])])
def test_labels_of_other_classes_give_no_accuracy(labels: np.ndarray | None) -> None:
    parity = compare(_random(2), _random(2), labels)
    assert parity.reference_top1 is None
    assert parity.artifact_top1 is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["reference", "artifact", "both"])
@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_a_number_that_is_not_finite_never_passes(value: float, side: str, scheme: str) -> None:
    # One image in a thousand, so that no limit on a share of the images could catch it.
    sides = {"reference": _random(1000), "artifact": _random(1000)}
    labels = sides["reference"].argmax(axis=1)
    for name in sides if side == "both" else [side]:
        sides[name][500, 2] = value
    parity = compare(sides["reference"], sides["artifact"], labels)
    assert not parity.finite
    assert parity.top1_agreeing == 999
    assert parity.max_abs_difference == math.inf
    verification = check_parity(parity, scheme)
    assert not verification.passed
    assert "non-finite probabilities" in [check.name for check in verification.failures]
    document = json.loads(json.dumps(verification.to_dict(), allow_nan=False))
    assert document["parity"]["finite"] is False
    assert document["parity"]["max_abs_difference"] is None


def test_answers_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(InputError, match="4 classes and the reference model 6"):
        compare(_random(3), np.eye(4)[:3])
    with pytest.raises(UsageError, match="same images"):
        compare(_random(3), _random(4))
    with pytest.raises(UsageError, match="at least one"):
        compare(_random(0), _random(0))
    with pytest.raises(UsageError, match=r"\[N, classes\]"):
        compare(_random(3)[0], _random(3)[0])
    with pytest.raises(UsageError, match="one label"):
        compare(_random(3), _random(3), np.array([1]))


def test_float32_needs_every_image_to_agree() -> None:
    assert check_parity(_parity(100_000), "float32").passed
    almost = check_parity(_parity(100_000, top1_agreeing=99_999), "float32")
    assert [check.name for check in almost.failures] == ["top-1 agreement"]


@pytest.mark.parametrize(("scheme", "limit"), [("float32", 1e-4), ("float16", 5e-3)])
def test_difference_may_reach_the_limit_and_not_pass_it(scheme: str, limit: float) -> None:
    above = math.nextafter(limit, 1)
    assert check_parity(_parity(10, max_abs_difference=limit), scheme).passed
    assert not check_parity(_parity(10, max_abs_difference=above), scheme).passed


# Numbers of images on which the limits are whole, so that they can be met exactly.
@pytest.mark.parametrize(
    ("scheme", "which", "images", "agreeing"),
    [
        ("float16", "top1_agreeing", 200, 199),
        ("float16", "top1_agreeing", 1000, 995),
        ("int8", "sure_agreeing", 50, 49),
        ("dynamic-int8", "sure_agreeing", 10_000, 9800),
    ],
)
def test_agreement_is_exact(scheme: str, which: str, images: int, agreeing: int) -> None:
    assert check_parity(_parity(images, **{which: agreeing}), scheme).passed
    assert not check_parity(_parity(images, **{which: agreeing - 1}), scheme).passed
    assert not check_parity(_parity(images + 1, **{which: agreeing - 1}), scheme).passed


def test_eight_bits_may_turn_any_near_tie() -> None:
    parity = _parity(1000, top1_agreeing=700, sure=600, sure_agreeing=600, lost=150, gained=150)
    assert check_parity(parity, "int8").passed


FEW_BITS = [name for name, scheme in SCHEMES.items() if scheme.gate.kl is not None]


@pytest.mark.parametrize("scheme", FEW_BITS)
def test_divergence_may_reach_the_limit_and_not_pass_it(scheme: str) -> None:
    limit = gate_for(scheme).kl
    assert limit is not None
    assert check_parity(_parity(10, kl=limit), scheme).passed
    for above in (math.nextafter(limit, 1), math.inf, math.nan):
        failed = check_parity(_parity(10, kl=above), scheme).failures
        assert [check.name for check in failed] == ["mean KL divergence"]


@pytest.mark.parametrize(
    ("images", "lost", "gained", "passed"),
    [
        (1000, 0, 30, True),
        # A loss of 1.2 and of 2 points that may well be one of less than 1.
        (500, 6, 0, True),
        (500, 20, 10, True),
        # 3.2 and 4 points are surely more than 1.
        (500, 21, 5, False),
        (500, 30, 10, False),
        # 1.2 points on many images are, too.
        (100_000, 1400, 200, False),
        (100_000, 1200, 200, True),
        # Of a dozen images the loss of one says nothing, of half of them it does.
        (12, 1, 0, True),
        (12, 6, 0, False),
    ],
)
def test_a_loss_fails_where_it_is_surely_above_the_limit(
    images: int, lost: int, gained: int, passed: bool
) -> None:
    verification = check_parity(_parity(images, lost=lost, gained=gained), "int8")
    assert verification.passed is passed
    check = verification.checks[-1]
    assert check.name == "top-1 accuracy loss"
    assert check.value == pytest.approx(100 * (lost - gained) / images)
    assert check.interval is not None
    told = verification.to_dict()
    assert json.loads(json.dumps(told)) == told
    low, high = check.interval
    assert low <= check.value <= high
    assert passed == (low <= 1)


def test_a_loss_is_told_with_its_interval() -> None:
    (check,) = check_parity(_parity(500, lost=30, gained=10), "int8").failures
    assert str(check) == (
        "top-1 accuracy loss 4 points (95%: 1.48 to 6.49) "
        "(the interval's lower end must be <= 1 points)"
    )


def test_a_reference_that_is_never_sure_has_no_agreement_to_check() -> None:
    verification = check_parity(_parity(10, sure=0, sure_agreeing=0), "int8")
    assert verification.passed
    assert verification.skipped == (
        "top-1 agreement where sure: the reference is sure of none of the images",
    )


def test_missing_labels_are_told() -> None:
    parity = _parity(10, reference_correct=None, lost=None, gained=None)
    verification = check_parity(parity, "int8")
    assert verification.passed
    assert len(verification.skipped) == 1
    assert "no labels" in verification.skipped[0]
    assert check_parity(parity, "float32").skipped == ()


def test_all_checks_are_listed_after_a_failure() -> None:
    parity = _parity(10, max_abs_difference=1.0, top1_agreeing=0)
    verification = check_parity(parity, "float32")
    assert [check.passed for check in verification.checks] == [True, False, False]
    document = verification.to_dict()
    assert (document["passed"], document["images"], document["scheme"]) == (False, 10, "float32")
    assert document["checks"][2] == {
        "name": "top-1 agreement",
        "value": 0.0,
        "limit": 100.0,
        "passed": False,
        "unit": "%",
        "relation": ">=",
        "interval": None,
    }
    assert str(verification.checks[2]) == "top-1 agreement 0 % (must be >= 100 %)"


def test_no_checks_are_no_pass() -> None:
    assert not Verification("float32", 1, (), _parity(1)).passed


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"'int3'.*float32, float16, weight-only-int8, dynamic-int8, int8"
    ):
        gate_for("int3")


@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.floats(0, 0.2))
def test_gates_are_what_the_definition_says(images: int, seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    reference = _random(images, seed)
    answers = np.abs(reference + rng.normal(scale=noise, size=reference.shape)).astype(np.float32)
    labels = rng.integers(0, CLASSES, images)
    parity = compare(reference, answers, labels)
    difference = max(
        abs(float(a) - float(b)) for a, b in zip(reference.flat, answers.flat, strict=True)
    )
    first, second = reference.argmax(axis=1), answers.argmax(axis=1)
    agree = sum(int(a == b) for a, b in zip(first, second, strict=True))
    assert check_parity(parity, "float32").passed == (difference <= 1e-4 and agree == images)
    assert check_parity(parity, "float16").passed == (
        difference <= 5e-3 and 1000 * agree >= 995 * images
    )
    lost = sum(int(a == c != b) for a, b, c in zip(first, second, labels, strict=True))
    gained = sum(int(b == c != a) for a, b, c in zip(first, second, labels, strict=True))
    sure = [sorted(map(float, row))[-1] - sorted(map(float, row))[-2] >= 0.1 for row in reference]
    agree_sure = sum(int(a == b) for a, b, c in zip(first, second, sure, strict=True) if c)
    divergence = float(kl_divergences(reference, answers).mean())
    limit = SCHEMES["int8"].gate.kl
    assert limit is not None
    assert check_parity(parity, "int8").passed == (
        divergence <= limit
        and 100 * agree_sure >= 98 * sum(sure)
        and paired_interval(lost, gained, images)[0] <= 0.01
    )
