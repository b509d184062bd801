"""`python -m benchmarks`: the suite."""

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from vitsd_export.cli.options import Compare, DataDir, Rounds, TestData, Tolerance
from vitsd_export.errors import EnvironmentProblem, UsageError, VerificationError

if TYPE_CHECKING:
    from benchmarks.suite.run import Request
    from vitsd_export.measure.benchmark.results import Results

TIMED_FOLDER = "timed"
NO_TIMED_MODEL = "none"
# Options that say where to, and what to compare with.
_NO_FIGURES = ("--output", "--compare", "--tolerance")
# As shells report a program that was interrupted.
_INTERRUPTED = 130
# Small, so that all candidates answer all test images in minutes.
_MODEL = "vit-tiny-cifar10"
_FULL_TIMED_MODEL = "vit-small-ds"
_HEAD_RANK = 256
# Wide enough for a log file, too.
_WIDTH = None if sys.stdout.isatty() else 200


def suite(
    context: typer.Context,
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure the main artifacts, three minutes (default).")
    ] = False,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Measure every scheme, baseline and runtime; resumes an interrupted run."
        ),
    ] = False,
    model: Annotated[
        str, typer.Option(help="Trained model: bundled name, file or folder.")
    ] = _MODEL,
    timed_model: Annotated[
        str | None,
        typer.Option(
            help="Second model, for latency and size: a preset (untrained), file, folder, or none. "
            f"Default: {_FULL_TIMED_MODEL} with --full.",
            show_default=False,
        ),
    ] = None,
    head_rank: Annotated[
        int, typer.Option(help="With --full: rank of the low-rank head to measure; 0 for none.")
    ] = _HEAD_RANK,
    data: TestData = "sample",
    data_dir: DataDir = None,
    output: Annotated[
        Path, typer.Option(help="Folder for results.json, report.md, index.html and PNGs.")
    ] = Path("out/benchmarks"),
    batches: Annotated[
        str | None, typer.Option(help="Images per call.", metavar="N,…", show_default=False)
    ] = None,
    threads: Annotated[
        str | None, typer.Option(help="Threads of the runtime.", metavar="N,…", show_default=False)
    ] = None,
    rounds: Rounds = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Seconds per artifact, batch size and thread count.", show_default=False),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Measure only candidates with this in their name. Repeatable."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over instead of resuming an interrupted run.")
    ] = False,
    compare: Compare = None,
    tolerance: Tolerance = 0.1,
) -> None:
    """Measures the artifacts of vitsd-export and of other tools on this machine.

    Without a command: parity with Keras, accuracy, latency, memory, size and share of the roofline of every
    artifact in its runtime.
    """
    if context.invoked_subcommand is not None:
        return
    if quick and full:
        raise UsageError("--quick and --full contradict each other. Choose one.")
    from benchmarks.suite.run import Request
    from vitsd_export.cli.options import parse_measurements
    from vitsd_export.measure.benchmark.results import read_results
    from vitsd_export.measure.benchmark.settings import Settings

    # Before the minutes that the rest takes.
    old = read_results(compare) if compare else None
    changes = parse_measurements(batches, threads, rounds=rounds, seconds=seconds)
    length: Literal["quick", "full"] = "full" if full else "quick"
    request = Request(
        model,
        Settings(**changes) if full else Settings.quick(**changes),
        _folder(output),
        length,
        data=data,
        data_dir=data_dir,
        only=tuple(only or ()),
        fresh=fresh,
    )
    requests = [request]
    second = timed_model or (_FULL_TIMED_MODEL if full else NO_TIMED_MODEL)
    if second != NO_TIMED_MODEL:
        requests.append(_timed(request, second, head_rank or None))
    first = _run(requests)
    if old is not None:
        _compare(old, first, tolerance)


def _timed(request: "Request", model: str, head_rank: int | None) -> "Request":
    """Returns the request for the model whose times and sizes are wanted."""
    from benchmarks.untrained import untrained_model
    from vitsd_export._internal.cache import cache_folder
    from vitsd_export.model.config import PRESETS
    from vitsd_export.sources.location import locate

    changes: dict[str, Any] = {"model": model}
    if model in PRESETS:
        path = untrained_model(model, cache_folder("benchmarks"), _print_progress)
        is_wide = bool(PRESETS[model].head_units)
        changes = {
            "model": str(path),
            "trained": False,
            "head_rank": head_rank if is_wide else None,
        }
    else:
        # Before the first model's minutes.
        locate(model)
    folder = _folder(request.output / TIMED_FOLDER)
    # Its answers are looked at as well, but on few images.
    return dataclasses.replace(request, output=folder, data="sample", data_dir=None, **changes)


def _run(requests: "list[Request]") -> "Results":
    """Measures, shows and writes each request; returns the first's results."""
    from benchmarks.suite.outputs import write_outputs
    from benchmarks.suite.run import measure
    from vitsd_export.cli.output import show_progress_bar
    from vitsd_export.reports.terminal import print_results

    found = []
    for request in requests:
        with show_progress_bar() as progress:
            try:
                results = measure(request, _command(), progress)
            except KeyboardInterrupt:
                _print_progress("interrupted before anything was measured")
                raise typer.Exit(_INTERRUPTED) from None
        write_outputs(results, request.output, _print_progress)
        print_results(results, Console(width=_WIDTH))
        print(f"The page: {request.output / 'index.html'}")
        if results.finished is None:
            _print_progress(
                f"interrupted; what was measured is in {request.output}. The same command resumes "
                "it; with --fresh it starts over."
            )
            raise typer.Exit(_INTERRUPTED)
        if all(row.parity is None for row in results.rows):
            raise VerificationError("Nothing could be measured: the table above says why.")
        found.append(results)
    return found[0]


def _compare(old: "Results", new: "Results", tolerance: float) -> None:
    from vitsd_export.reports.compare import compare_results
    from vitsd_export.reports.terminal import print_comparison

    comparison = compare_results(old, new, tolerance=tolerance)
    print_comparison(comparison, Console(width=_WIDTH))
    if comparison.regressed:
        raise VerificationError(
            f"This run is worse than the earlier one by more than {tolerance:.0%}: see the tables above."
        )


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"The output folder {path} cannot be made: {error.strerror}. Choose another --output."
        ) from error
    return path


def _command() -> str:
    """Returns the command line without what changes no figure, and of folders here the names alone."""
    words = ["python", "-m", "benchmarks"]
    rest = iter(sys.argv[1:])
    for word in rest:
        option, equals, value = word.rpartition("=")
        if word in _NO_FIGURES:
            next(rest, None)
        elif option not in _NO_FIGURES:
            is_address = "://" in value
            words.append(word if is_address else f"{option}{equals}{Path(value).name or value}")
    return shlex.join(words)


def _print_progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
