"""Storing runs in the repository, and writing the tables of README and docs from them.

All figures are stored, without what makes the file large.
"""

import dataclasses
from pathlib import Path

import numpy as np

from benchmarks.suite.readme import replace_between_markers, summary, tables
from vitsd_export.errors import InputError
from vitsd_export.measure.benchmark.results import (
    LatencyFigures,
    Results,
    Row,
    read_results,
    write_results,
)

_ROOT = Path(__file__).parents[2]
README = _ROOT / "README.md"
# Every figure; the README has some of them.
BENCHMARKS = _ROOT / "docs" / "benchmarks.md"
# The first run's has accuracy, the second's times and sizes of a larger model.
STORED = (
    _ROOT / "benchmarks" / "results" / "suite.json",
    _ROOT / "benchmarks" / "results" / "suite-timed.json",
)

# More samples of a setting than these are kept as so many quantiles.
SAMPLES = 51


def store_and_write(
    sources: list[Path], stored: tuple[Path, ...], *, readme: Path, benchmarks: Path
) -> None:
    """Stores runs, reduced, and writes the tables of what is stored between the markers of both pages.

    Args:
        sources: Runs to store, in the order of `stored`; what is stored stays where there is none.

    Raises:
        InputError: If a run cannot be read, there are too many, or a page has no markers.
    """
    if len(sources) > len(stored):
        raise InputError(f"At most {len(stored)} runs are stored; {len(sources)} were given.")
    runs = [read_results(source) for source in sources]
    for run, target in zip(runs, stored, strict=False):
        write_results(reduce(run), target)
    kept = [read_results(path) for path in stored if path.exists()]
    for page, content in ((readme, summary(kept[0], kept[-1])), (benchmarks, tables(kept))):
        text = page.read_text(encoding="utf-8")
        page.write_text(replace_between_markers(text, content), encoding="utf-8")


def reduce(results: Results) -> Results:
    """Returns a run without thumbnails, and with quantiles in place of many samples."""
    rows = tuple(_reduce_row(row) for row in results.rows)
    settings = {**results.settings, "samples": f"at most {SAMPLES} quantiles of each setting's"}
    return dataclasses.replace(results, rows=rows, settings=settings)


def _reduce_row(row: Row) -> Row:
    parity = None if row.parity is None else dataclasses.replace(row.parity, worst=())
    # Paths mean nothing on another machine.
    path, failure = row.candidate.path, row.failure
    if path is not None and failure is not None:
        failure = failure.replace(path, Path(path).name)
    candidate = dataclasses.replace(row.candidate, path=None)
    latencies = tuple(_reduce_latency(figures) for figures in row.latencies)
    return dataclasses.replace(
        row, candidate=candidate, failure=failure, parity=parity, latencies=latencies
    )


def _reduce_latency(figures: LatencyFigures) -> LatencyFigures:
    samples = figures.samples
    if len(samples) > SAMPLES:
        samples = tuple(map(float, np.quantile(samples, np.linspace(0, 1, SAMPLES))))
    # A microsecond is below the resolution of a call's time.
    return dataclasses.replace(figures, samples=tuple(round(value, 3) for value in samples))
