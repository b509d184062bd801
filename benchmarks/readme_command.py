"""`python -m benchmarks readme`: stored results, and the README's tables from them."""

from pathlib import Path
from typing import Annotated

import typer

from vitsd_export.errors import InputError

_ROOT = Path(__file__).parents[1]
README = _ROOT / "README.md"
# The first run's has accuracy, the second's times and sizes of a larger model.
STORED = (
    _ROOT / "benchmarks" / "results" / "suite.json",
    _ROOT / "benchmarks" / "results" / "suite-timed.json",
)


def readme(
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="results.json of runs to store first; without, those that are stored."),
    ] = None,
) -> None:
    """Stores runs in benchmarks/results and makes the README's tables of them."""
    store_and_write(results or [], STORED, README)


def store_and_write(sources: list[Path], stored: tuple[Path, ...], readme: Path) -> None:
    """Stores runs, reduced, and writes the README's tables from what is stored.

    Args:
        sources: Runs to store, in the order of `stored`; what is stored stays where there is none.
        stored: Where they are kept.
        readme: The README, with the tables' markers.

    Raises:
        InputError: If a run cannot be read, there are too many, or the README has no markers.
    """
    from benchmarks.suite.readme import replace_tables
    from benchmarks.suite.storing import reduce
    from vitsd_export.measure.results import read_results, write_results

    if len(sources) > len(stored):
        raise InputError(f"At most {len(stored)} runs are stored; {len(sources)} were given.")
    runs = [read_results(source) for source in sources]
    for run, target in zip(runs, stored, strict=False):
        write_results(reduce(run), target)
    kept = [read_results(path) for path in stored if path.exists()]
    readme.write_text(replace_tables(readme.read_text(encoding="utf-8"), kept), encoding="utf-8")
