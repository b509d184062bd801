"""Pictures of runs."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.benchmark_results import latency, realistic, results, row, unusual
from vitsd_export.errors import EnvironmentProblem
from vitsd_export.measure.benchmark.results import Work
from vitsd_export.reports.plots import write_plots

GREEN, ORANGE, BLUE = (0, 158, 115), (213, 94, 0), (0, 114, 178)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def longest_run(picture: np.ndarray, colour: tuple[int, int, int]) -> list[int]:
    """Returns the lengths of bars of a colour, from above: one for each band of rows that has it."""
    of_colour = np.abs(picture - colour).max(axis=-1) <= 2
    wide = of_colour.sum(axis=1)
    bars, length = [], 0
    for count in [*wide, 0]:
        # Text and legends have none of it, or little.
        if count > 60:
            length = max(length, int(count))
        elif length:
            bars.append(length)
            length = 0
    return bars


@pytest.mark.parametrize("name", unusual())
def test_every_run_is_drawn(name: str, tmp_path: Path) -> None:
    run = unusual()[name]
    for path in write_plots(run, tmp_path):
        assert pixels(path).std() > 1
    assert {path.name for path in tmp_path.iterdir()} <= {
        "pareto.png",
        "ratios.png",
        "roofline.png",
    }


def test_what_cannot_be_shown_is_not_written(tmp_path: Path) -> None:
    assert write_plots(results(row(failure="crashed")), tmp_path) == ()
    assert not list(tmp_path.iterdir())


def test_bars_are_as_long_as_the_ratios(tmp_path: Path) -> None:
    ratios = (0.5, 0.25, 0.8)
    rows = [
        row(f"a{value}", baseline="b", latencies=(latency(1.0, ratio=(value, value, value)),))
        for value in ratios
    ]
    write_plots(results(*rows), tmp_path)
    bars = longest_run(pixels(tmp_path / "ratios.png"), GREEN)
    # The mark of the interval covers a few pixels at the end.
    assert np.array(bars) / bars[0] == pytest.approx(np.array(ratios) / 0.5, rel=0.03)


def test_slower_ones_stand_out(tmp_path: Path) -> None:
    write_plots(realistic(), tmp_path)
    picture = pixels(tmp_path / "ratios.png")
    assert len(longest_run(picture, GREEN)) == 11
    assert len(longest_run(picture, ORANGE)) == 1


def test_bars_of_the_roofline_are_as_long_as_the_shares(tmp_path: Path) -> None:
    shares = (0.9, 0.3, 1.2)
    rows = [row(f"a{share}", work=Work({}, 1, 1.0, share)) for share in shares]
    (path,) = write_plots(results(*rows), tmp_path)
    bars = longest_run(pixels(path), BLUE)
    assert np.array(bars) / bars[0] == pytest.approx(np.array(shares) / 0.9, rel=0.02)


def test_missing_matplotlib_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(EnvironmentProblem, match=r"vitsd-export\[report\]"):
        write_plots(realistic(), tmp_path)
