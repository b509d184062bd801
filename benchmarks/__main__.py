"""Command line of the benchmarks."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.suite_command import suite
from vitsd_export._internal.atomic_write import write_file
from vitsd_export.errors import VitsdExportError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.callback(invoke_without_command=True)(suite)
Json = Annotated[Path | None, typer.Option("--json", help="JSON file for the figures.")]


def _print_progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@app.command()
def readme(
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="results.json of runs to store first. Default: use the stored runs."),
    ] = None,
) -> None:
    """Stores runs in benchmarks/results, and generates the tables of README and docs/benchmarks.md."""
    from benchmarks.suite.storing import BENCHMARKS, README, STORED, store_and_write

    store_and_write(results or [], STORED, readme=README, benchmarks=BENCHMARKS)


@app.command()
def commands(
    runs: Annotated[int, typer.Option(min=1, help="Rounds; the median is reported.")] = 3,
    stock: Annotated[bool, typer.Option(help="Also time tf2onnx alone.")] = True,
    json: Json = None,
) -> None:
    """Measures wall time and peak memory of `vitsd-export --help` and of the ONNX exports."""
    from benchmarks.startup_and_export import time_commands, to_json

    times = time_commands(runs=runs, stock=stock, progress=_print_progress)
    table = Table("command", "median of runs", "limit", "peak memory", title=f"{runs} rounds")
    for entry in times:
        limit = "" if entry.limit is None else f"≤ {entry.limit:g} s"
        memory = f"{entry.peak_megabytes:.0f} MB"
        table.add_row(entry.name, f"{entry.seconds:.2f} s", limit, memory)
    console = Console(highlight=False)
    console.print(table)
    for entry in times:
        if entry.note:
            console.print(f"{entry.name}: {entry.note}", soft_wrap=True)
    if json:
        write_file(json, to_json(times))


@app.command()
def lowering(
    model: Annotated[
        Path | None, typer.Option(help=".keras file. Default: an untrained vit-small-ds.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder that keeps the artifacts for the next run.")
    ] = None,
    json: Json = None,
) -> None:
    """Measures what each rewrite of lowering gains, in onnxruntime and LiteRT."""
    from benchmarks.lowering import measure_lowering
    from benchmarks.untrained import untrained_model
    from vitsd_export.cli.output import show_progress_bar
    from vitsd_export.measure.benchmark.results import write_results
    from vitsd_export.measure.benchmark.settings import Settings
    from vitsd_export.reports.terminal import print_results

    with tempfile.TemporaryDirectory() as temporary, show_progress_bar() as progress:
        place = folder or Path(temporary)
        place.mkdir(exist_ok=True)
        results = measure_lowering(
            model or untrained_model("vit-small-ds", place, progress),
            place,
            Settings.quick(),
            "python -m benchmarks lowering",
            progress,
        )
    print_results(results, Console())
    if json:
        write_results(results, json)


@app.command()
def training(
    recipes: Annotated[
        list[str] | None, typer.Argument(help="Recipes to time. Default: quick, strong.")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="Architecture: vit-tiny or vit-small-ds.")
    ] = "vit-tiny",
    data: Annotated[
        str, typer.Option(help="Images: sample (bundled), cifar10 or cifar100.")
    ] = "sample",
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder that holds cifar10 or cifar100.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Images per pass.")] = 2560,
    batch_size: Annotated[int, typer.Option(min=2, help="Images per step.")] = 256,
    rounds: Annotated[int, typer.Option(min=1, help="Timed passes; the median is reported.")] = 5,
    json: Json = None,
) -> None:
    """Measures a training step against `model.fit` on Keras's preprocessing layers."""
    from benchmarks.training_step import time_training_step, to_json
    from vitsd_export.data.labels import CIFAR10_CLASSES
    from vitsd_export.data.sample import choose_images
    from vitsd_export.data.sources import load_images

    # The recorded figures are those of ten classes.
    chosen = choose_images(data, CIFAR10_CLASSES)
    loaded = load_images(chosen, split="train", size=32, data_dir=data_dir)
    loaded = loaded.sample(min(images, len(loaded)), 0)
    figures = [
        time_training_step(
            preset, name, loaded, batch_size=batch_size, rounds=rounds, progress=_print_progress
        )
        for name in recipes or ["quick", "strong"]
    ]
    headings = (
        "recipe",
        f"ours, {figures[0].precision}",
        "of peak",
        "ours, float32",
        "fit, same augmentation",
        "ratio",
        "fit, none",
        "ratio",
    )
    table = Table(
        *headings, title=f"{preset}: images/s, batch {batch_size}, {len(loaded)} images a pass"
    )
    for entry in figures:
        table.add_row(
            entry.recipe,
            f"{entry.ours:.0f}",
            f"{entry.share_of_peak:.0%}",
            f"{entry.ours_float32:.0f}",
            f"{entry.fit:.0f}",
            f"{entry.ratio:.2f}",
            f"{entry.fit_plain:.0f}",
            f"{entry.ours / entry.fit_plain:.2f}",
        )
    Console().print(table)
    if json:
        write_file(json, to_json(figures))


if __name__ == "__main__":
    try:
        app()
    except VitsdExportError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
