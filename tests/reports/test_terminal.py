"""Reports on a terminal and into a pipe."""

import io
import unicodedata

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests.support.benchmark_results import (
    HOSTILE,
    latency,
    realistic,
    results,
    row,
    unusual,
)
from vitsd_export.measure.benchmark.results import Results
from vitsd_export.reports.compare import compare_results
from vitsd_export.reports.terminal import print_comparison, print_results


def printed(run: Results, *, is_terminal: bool, width: int = 100) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        force_terminal=is_terminal,
        color_system=None,
        legacy_windows=False,
    )
    print_results(run, console)
    assert console.width == width
    return stream.getvalue()


@pytest.mark.parametrize("name", unusual())
def test_every_run_fits_a_terminal(name: str) -> None:
    text = printed(unusual()[name], is_terminal=True)
    assert text.strip()
    assert max(cell_len(line) for line in text.splitlines()) <= 100


@pytest.mark.parametrize("name", unusual())
def test_no_character_steers_the_terminal(name: str) -> None:
    for is_terminal in (False, True):
        text = printed(unusual()[name], is_terminal=is_terminal)
        steering = {
            letter for letter in text if unicodedata.category(letter) == "Cc" and letter != "\n"
        }
        assert not steering
        assert not set("\u202e\u2066") & set(text)


def test_figures_stand_in_the_line_of_their_candidate() -> None:
    text = printed(realistic(), is_terminal=True)
    line = next(line for line in text.splitlines() if line.startswith("onnx int8"))
    assert line.split() == [
        "onnx",
        "int8",
        "79.38",
        "%",
        "99.36",
        "%",
        "6.34",
        "ms",
        "0.45",
        "faster",
        "22.09",
        "MB",
        "60",
        "%",
    ]


def test_into_a_pipe_every_row_is_one_line() -> None:
    text = printed(realistic(), is_terminal=False, width=40)
    tables = text.count("candidate ")
    assert tables >= 6
    for name in ("stock tf2onnx float32", "tflite, XNNPACK off", "stock onnxruntime static"):
        assert sum(line.startswith(name) for line in text.splitlines()) >= 2
    assert "crashed: SIGSEGV while loading" in text


def test_names_are_no_markup() -> None:
    text = printed(results(row(HOSTILE[6], skipped="[bold]why[/]")), is_terminal=False)
    assert HOSTILE[6] in text
    assert "[bold]why[/]" in text


@pytest.mark.parametrize(
    ("ratio", "word"),
    [
        ((0.9, 0.8, 0.99), "faster"),
        ((1.1, 1.01, 1.2), "slower"),
        ((0.98, 0.9, 1.05), "cannot be told apart"),
    ],
)
def test_verdicts_are_said_plainly(ratio: tuple[float, float, float], word: str) -> None:
    run = results(row("ours", baseline="theirs", latencies=(latency(2.0, ratio=ratio),)))
    assert word in printed(run, is_terminal=False)


def test_broken_off_run_says_so() -> None:
    assert "broken off" in printed(results(row(), finished=None), is_terminal=False)


def compared(old: Results, new: Results) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=100, force_terminal=True, color_system=None)
    print_comparison(compare_results(old, new), console)
    return stream.getvalue()


def test_a_comparison_names_what_fails() -> None:
    old = realistic()
    new = results(
        *(row(each.candidate.name, failure="crashed") for each in old.rows[:3]), model=old.model
    )
    text = compared(old, new)
    (line,) = (line for line in text.splitlines() if line.startswith("onnx float32"))
    assert line.split() == ["onnx", "float32", "state", "fails", "now", "crashed"]
    assert "Regressed" in text


def test_an_unchanged_comparison_says_so() -> None:
    text = compared(realistic(), realistic())
    assert "What changed" not in text
    assert "No regression" in text
    # Of 16 candidates four times, two accuracies, the agreement and the size.
    assert "Within the tolerance: 128 figures" in text


@pytest.mark.parametrize("name", unusual())
def test_comparisons_fit_a_terminal(name: str) -> None:
    old = unusual()[name]
    new = results(
        *(row(each.candidate.name, failure=HOSTILE[5]) for each in old.rows[:3]),
        row(HOSTILE[9]),
        model=old.model,
    )
    text = compared(old, new)
    assert max(cell_len(line) for line in text.splitlines()) <= 100
    assert not {letter for letter in text if unicodedata.category(letter) == "Cc"} - {"\n"}
