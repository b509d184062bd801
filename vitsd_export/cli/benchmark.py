"""`benchmark`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitsd_export.cli.options import (
    CustomObjects,
    Debug,
    InputRange,
    Json,
    Preset,
    Trust,
    parse_numbers,
    source_options,
)
from vitsd_export.cli.output import print_json, show_progress_bar
from vitsd_export.cli.state import State
from vitsd_export.errors import (
    EnvironmentProblem,
    InputError,
    VerificationError,
    VitsdExportError,
)

if TYPE_CHECKING:
    from vitsd_export.measure.benchmark.results import Results
    from vitsd_export.measure.benchmark.settings import Settings
    from vitsd_export.reports.compare import Comparison

_INTERRUPTED = 130


def benchmark(
    artifacts: Annotated[
        list[Path], typer.Argument(help="ONNX or LiteRT files, SavedModel folders.")
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            help="Keras model they were exported from. Default: the bundled model their manifest names."
        ),
    ] = None,
    preset: Preset = None,
    input_range: InputRange = None,
    custom_objects: CustomObjects = None,
    trust: Trust = False,
    data: Annotated[
        str, typer.Option(help="Test images: sample (bundled), cifar10, cifar100, or a folder.")
    ] = "sample",
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder that holds cifar10 or cifar100. Default: Keras's cache."),
    ] = None,
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
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Measurement rounds per process.", show_default=False)
    ] = None,
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
    compare: Annotated[
        Path | None,
        typer.Option(help="JSON results of an older run; exit code 4 if this run is worse."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="With --compare: relative change that is still accepted.")
    ] = 0.1,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Measures accuracy, latency, memory and size of artifacts and of their Keras model."""
    from vitsd_export.measure.benchmark.results import read_results
    from vitsd_export.workflows.benchmark import benchmark_artifacts

    settings = _settings(batches, threads, rounds, quick)
    old = None if compare is None else read_results(compare)
    for path in (output, html, markdown):
        _check_folder(path)
    latest: list[Results] = []

    def keep(results: "Results") -> None:
        latest[:] = [results]
        _write(results, output)

    try:
        with show_progress_bar() as progress:
            results = benchmark_artifacts(
                artifacts,
                reference=reference,
                preset=preset,
                **source_options(input_range, custom_objects, trust),
                data=data,
                data_dir=data_dir,
                settings=settings,
                runtimes=runtime,
                force=force,
                command=shlex.join(["vitsd-export", *sys.argv[1:]]),
                on_results=keep,
                progress=progress,
            )
    except KeyboardInterrupt:
        if latest:
            _report(latest[0], html, markdown, None)
        print("interrupted: what was measured until then is kept", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
    _write(results, output)
    comparison = None
    if old is not None:
        from vitsd_export.reports.compare import compare_results

        comparison = compare_results(old, results, tolerance)
    _report(results, html, markdown, comparison)
    if comparison is not None and comparison.regressed:
        print(f"error: Worse than {compare}, beyond the tolerance.", file=sys.stderr)
        raise typer.Exit(VerificationError.exit_code)
    measured = [row for row in results.rows if row.parity and row.candidate.format != "keras"]
    if not measured:
        print(
            "error: None of the artifacts could be measured. The results say why of each.",
            file=sys.stderr,
        )
        raise typer.Exit(InputError.exit_code)


def _settings(
    batches: str | None, threads: str | None, rounds: int | None, quick: bool
) -> "Settings":
    from vitsd_export.measure.benchmark.settings import Settings

    changes: dict[str, Any] = {}
    if batches is not None:
        changes["batches"] = parse_numbers("--batches", batches)
    if threads is not None:
        changes["threads"] = parse_numbers("--threads", threads)
    if rounds is not None:
        changes["rounds"] = rounds
    return Settings.quick(**changes) if quick else Settings(**changes)


def _check_folder(path: Path | None) -> None:
    """Makes sure, before minutes of work, that the result can be written."""
    if path is not None and not path.resolve().parent.is_dir():
        raise EnvironmentProblem(f"There is no folder {path.resolve().parent} to write {path} to.")


def _write(results: "Results", path: Path | None) -> None:
    from vitsd_export.measure.benchmark.results import write_results

    if path is None:
        return
    try:
        write_results(results, path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> VitsdExportError:
    return EnvironmentProblem(f"{path} cannot be written: {error.strerror or error}.")


def _report(
    results: "Results",
    html: Path | None,
    markdown: Path | None,
    comparison: "Comparison | None",
) -> None:
    if html is not None:
        from vitsd_export.reports.page import write_page

        try:
            write_page(results, html)
        except OSError as error:
            raise _unwritable(html, error) from error
    if markdown is not None:
        from vitsd_export.reports.markdown import to_markdown

        try:
            markdown.write_text(to_markdown(results), encoding="utf-8")
        except OSError as error:
            raise _unwritable(markdown, error) from error
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


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(benchmark)
