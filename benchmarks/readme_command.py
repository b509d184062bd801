"""`python -m benchmarks readme`: stores results, and generates the tables of README and docs from them."""

from pathlib import Path
from typing import Annotated

import typer

from vitsd_export.errors import InputError

_ROOT = Path(__file__).parents[1]
README = _ROOT / "README.md"
# Every figure; the README has some of them.
BENCHMARKS = _ROOT / "docs" / "benchmarks.md"
# The first run's has accuracy, the second's times and sizes of a larger model.
STORED = (
    _ROOT / "benchmarks" / "results" / "suite.json",
    _ROOT / "benchmarks" / "results" / "suite-timed.json",
)


def readme(
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="results.json of runs to store first. Default: use the stored runs."),
    ] = None,
) -> None:
    """Stores runs in benchmarks/results, and generates the tables of README and docs/benchmarks.md."""
    store_and_write(results or [], STORED, readme=README, benchmarks=BENCHMARKS)


def store_and_write(
    sources: list[Path], stored: tuple[Path, ...], *, readme: Path, benchmarks: Path
) -> None:
    """Stores runs, reduced, and writes the tables of what is stored.

    Args:
        sources: Runs to store, in the order of `stored`; what is stored stays where there is none.
        stored: Where they are kept.
        readme: The README, with the markers of its table.
        benchmarks: The page of all tables, with their markers.

    Raises:
        InputError: If a run cannot be read, there are too many, or a page has no markers.
    """
    from benchmarks.suite.readme import replace_between_markers, summary, tables
    from benchmarks.suite.storing import reduce
    from vitsd_export.measure.benchmark.results import read_results, write_results

    if len(sources) > len(stored):
        raise InputError(f"At most {len(stored)} runs are stored; {len(sources)} were given.")
    runs = [read_results(source) for source in sources]
    for run, target in zip(runs, stored, strict=False):
        write_results(reduce(run), target)
    kept = [read_results(path) for path in stored if path.exists()]
    for page, content in ((readme, summary(kept[0], kept[-1])), (benchmarks, tables(kept))):
        text = page.read_text(encoding="utf-8")
        page.write_text(replace_between_markers(text, content), encoding="utf-8")
