"""`benchmark`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitsd_export.cli.options import (
    Artifacts,
    Compare,
    DataDir,
    Loading,
    Reference,
    Rounds,
    TestData,
    Tolerance,
    parse_measurements,
)
from vitsd_export.cli.output import print_json, show_progress_bar
from vitsd_export.cli.state import State
from vitsd_export.errors import EnvironmentProblem, InputError, VerificationError

if TYPE_CHECKING:
    from vitsd_export.measure.benchmark.results import Results
    from vitsd_export.reports.compare import Comparison

_INTERRUPTED = 130


def benchmark(
    *,
    artifacts: Artifacts,
    reference: Reference = None,
    loading: Loading,
    data: TestData = "sample",
    data_dir: DataDir = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(help="Measure only in this runtime. Repeatable.", metavar="NAME"),
    ] = None,
    batches: Annotated[
        str | None, typer.Option(help="Images per call. Default: 1,8,32.", metavar="N,…")
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(help="Threads of the runtime. Default: 1, 2 and all cores.", metavar="N,…"),
    ] = None,
    rounds: Rounds = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure briefly: one image per call, one thread.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also measure an artifact of another model.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for the results.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="HTML file for a report with plots.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Markdown file for the tables.")] = None,
    compare: Compare = None,
    tolerance: Tolerance = 0.1,
) -> None:
    """Measures accuracy, latency, memory and size of artifacts and of their Keras model."""
    from vitsd_export.measure.benchmark.results import read_results, write_results
    from vitsd_export.measure.benchmark.settings import Settings
    from vitsd_export.workflows.benchmark import BenchmarkRequest, benchmark_artifacts

    changes = parse_measurements(batches, threads, rounds=rounds)
    settings = Settings.quick(**changes) if quick else Settings(**changes)
    old = None if compare is None else read_results(compare)
    for path in (output, html, markdown):
        # Before minutes of work.
        if path is not None and not path.resolve().parent.is_dir():
            raise EnvironmentProblem(
                f"There is no folder {path.resolve().parent} to write {path} to."
            )
    command = shlex.join(["vitsd-export", *sys.argv[1:]])
    request = BenchmarkRequest(
        artifacts, reference, data, data_dir, settings, runtime, force, command
    )
    latest: list[Results] = []

    def keep(results: "Results") -> None:
        latest[:] = [results]
        if output is not None:
            write_results(results, output)

    try:
        with show_progress_bar() as progress:
            results = benchmark_artifacts(
                request, on_results=keep, progress=progress, **loading.options
            )
    except KeyboardInterrupt:
        if latest:
            _report(latest[0], html, markdown, None)
        print("interrupted: what was measured until then is kept", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
    keep(results)
    comparison = None
    if old is not None:
        from vitsd_export.reports.compare import compare_results

        comparison = compare_results(old, results, tolerance)
    _report(results, html, markdown, comparison)
    if comparison is not None and comparison.regressed:
        print(f"error: Worse than {compare}, beyond the tolerance.", file=sys.stderr)
        raise typer.Exit(VerificationError.exit_code)
    if not any(row.parity and not row.candidate.is_keras for row in results.rows):
        print(
            "error: None of the artifacts could be measured. The results say why of each.",
            file=sys.stderr,
        )
        raise typer.Exit(InputError.exit_code)


def _report(
    results: "Results",
    html: Path | None,
    markdown: Path | None,
    comparison: "Comparison | None",
) -> None:
    if html is not None:
        from vitsd_export.reports.page import write_page

        write_page(results, html)
    if markdown is not None:
        from vitsd_export.reports.markdown import write_markdown

        write_markdown(results, markdown)
    if State.json:
        from vitsd_export.measure.benchmark.results import to_document

        print_json(to_document(results))
        return
    from rich.console import Console

    from vitsd_export.reports.terminal import print_comparison, print_results

    console = Console(highlight=False)
    print_results(results, console)
    if comparison is not None:
        print_comparison(comparison, console)
