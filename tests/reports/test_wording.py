"""Figures and names in words."""

import unicodedata

import hypothesis
import hypothesis.strategies as st
import pytest
from rich.cells import cell_len

from tests.support.benchmark_results import results, row
from vitsd_export.reports.wording import (
    data_name,
    data_size,
    milliseconds,
    percent,
    plain,
    rate,
    shorten,
    significant,
    small,
    versions,
)

ANY_TEXT = st.text(st.characters(codec=None), max_size=40)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12.345, "12.3"),
        (9.996, "10.0"),
        (0.09996, "0.100"),
        (1234.5, "1234"),
        (0.00012345, "0.000123"),
        (1e-7, "1.00e-07"),
        (-5.678, "-5.68"),
        (float("nan"), "nan"),
    ],
)
def test_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


@hypothesis.given(st.floats(1e-4, 1e8))
@hypothesis.settings(deadline=None)
def test_three_digits_are_within_half_of_the_last(value: float) -> None:
    text = significant(value)
    assert float(text) == pytest.approx(value, rel=5.0001e-3)
    assert "e" not in text


def test_units() -> None:
    assert milliseconds(4.4) == "4.40 ms"
    assert milliseconds(None) == "–"
    assert percent(0.7934) == "79.34 %"
    assert percent(None) == "–"
    assert [data_size(n) for n in (12, 1200, 3_400_000, 5_600_000_000, None)] == [
        *("12 B", "1.2 kB", "3.40 MB", "5.60 GB", "–")
    ]
    assert rate(82.1e9, "FLOP/s") == "82.1 GFLOP/s"
    assert small(2.1e-6) == "2.1e-06"
    assert small(0.148) == "0.148"
    assert small(0.0) == "0"


@hypothesis.given(ANY_TEXT)
@hypothesis.settings(deadline=None)
def test_plain_text_steers_nothing_and_is_utf8(text: str) -> None:
    shown = plain(text)
    assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert plain(shown) == shown


@hypothesis.given(ANY_TEXT, st.integers(1, 20))
@hypothesis.settings(deadline=None)
def test_shortened_text_fits(text: str, width: int) -> None:
    shown = shorten(plain(text), width)
    assert cell_len(shown) <= width
    assert shown == plain(text) or shown.endswith("…")


def test_a_version_that_differs_says_where() -> None:
    run = results(
        row("a", versions={"onnxruntime": "1.31.1"}), row("b", versions={"onnxruntime": "1.20.0"})
    )
    assert versions(run)["onnxruntime"] == "1.31.1"
    assert versions(run)["onnxruntime (b)"] == "1.20.0"


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ({}, "a sample, test, 500 images"),
        ({"labels": "the model's"}, "a sample, test, 500 images"),
        ({"labels": "none"}, "a sample, test, 500 images"),
        ({"labels": "others"}, "a sample, test, 500 images, labels of other classes"),
    ],
)
def test_labels_of_other_classes_are_told(labels: dict[str, str], text: str) -> None:
    data = {"source": "a sample", "split": "test", "images": 500, **labels}
    assert data_name(results(row("x"), data=data)) == text
