"""`benchmark`."""

import dataclasses
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
    from vitsd_export.measure.benchmark.settings import Settings
    from vitsd_export.reports.compare import Comparison

_INTERRUPTED = 130


@dataclasses.dataclass(frozen=True)
class _Length:
    """How much is measured."""

    batches: Annotated[
        str | None, typer.Option(help="Images per call. Default: 1,8,32.", metavar="N,…")
    ] = None
    threads: Annotated[
        str | None,
        typer.Option(help="Threads of the runtime. Default: 1, 2 and all cores.", metavar="N,…"),
    ] = None
    rounds: Rounds = None
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure briefly: one image per call, one thread.")
    ] = False

    def settings(self) -> "Settings":
        """Returns the settings of the measurements."""
        from vitsd_export.measure.benchmark.settings import Settings

        changes = parse_measurements(self.batches, self.threads, rounds=self.rounds)
        return Settings.quick(**changes) if self.quick else Settings(**changes)


@dataclasses.dataclass(frozen=True)
class _Files:
    """What is written."""

    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for the results.")
    ] = None
    html: Annotated[Path | None, typer.Option(help="HTML file for a report with plots.")] = None
    markdown: Annotated[Path | None, typer.Option(help="Markdown file for the tables.")] = None

    def check(self) -> None:
        """Makes sure, before minutes of work, that there are folders to write to."""
        for path in (self.output, self.html, self.markdown):
            if path is not None and not path.resolve().parent.is_dir():
                raise EnvironmentProblem(
                    f"There is no folder {path.resolve().parent} to write {path} to."
                )


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
    length: _Length,
    force: Annotated[
        bool, typer.Option("--force", help="Also measure an artifact of another model.")
    ] = False,
    files: _Files,
    compare: Compare = None,
    tolerance: Tolerance = 0.1,
) -> None:
    """Measures accuracy, latency, memory and size of artifacts and of their Keras model."""
    from vitsd_export.measure.benchmark.results import read_results, write_results
    from vitsd_export.workflows.benchmark import BenchmarkRequest, benchmark_artifacts

    settings = length.settings()
    old = None if compare is None else read_results(compare)
    files.check()
    command = shlex.join(["vitsd-export", *sys.argv[1:]])
    request = BenchmarkRequest(
        artifacts, reference, data, data_dir, settings, runtime, force, command
    )
    latest: list[Results] = []

    def keep(results: "Results") -> None:
        latest[:] = [results]
        if files.output is not None:
            write_results(results, files.output)

    try:
        with show_progress_bar() as progress:
            results = benchmark_artifacts(
                request, on_results=keep, progress=progress, **loading.options
            )
    except KeyboardInterrupt:
        if latest:
            _report(latest[0], files, None)
        print("interrupted: what was measured until then is kept", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
    keep(results)
    comparison = None
    if old is not None:
        from vitsd_export.reports.compare import compare_results

        comparison = compare_results(old, results, tolerance)
    _report(results, files, comparison)
    if comparison is not None and comparison.regressed:
        print(f"error: Worse than {compare}, beyond the tolerance.", file=sys.stderr)
        raise typer.Exit(VerificationError.exit_code)
    if not any(row.parity and not row.candidate.is_keras for row in results.rows):
        print(
            "error: None of the artifacts could be measured. The results hold the reason for each.",
            file=sys.stderr,
        )
        raise typer.Exit(InputError.exit_code)


def _report(results: "Results", files: _Files, comparison: "Comparison | None") -> None:
    if files.html is not None:
        from vitsd_export.reports.page import write_page

        write_page(results, files.html)
    if files.markdown is not None:
        from vitsd_export.reports.markdown import write_markdown

        write_markdown(results, files.markdown)
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
