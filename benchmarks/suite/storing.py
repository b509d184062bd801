"""What is kept of a run in the repository: all figures, without what makes the file large."""

import dataclasses
from pathlib import Path

import numpy as np

from vitsd_export.measure.benchmark.results import LatencyFigures, Results, Row

# More samples of a setting than these are kept as so many quantiles.
SAMPLES = 51


def reduce(results: Results) -> Results:
    """Returns a run without thumbnails, and with quantiles in place of many samples.

    Args:
        results: The run; its settings tell what was done.
    """
    rows = tuple(_reduce_row(row) for row in results.rows)
    settings = {**results.settings, "samples": f"at most {SAMPLES} quantiles of each setting's"}
    return dataclasses.replace(results, rows=rows, settings=settings)


def _reduce_row(row: Row) -> Row:
    parity = None if row.parity is None else dataclasses.replace(row.parity, worst=())
    # Where files lay tells nothing elsewhere.
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
    # A microsecond is below what a clock tells of a call.
    return dataclasses.replace(figures, samples=tuple(round(value, 3) for value in samples))
