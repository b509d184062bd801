"""`quantize`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vitsd_export.cli.options import (
    CalibrationImages,
    Cpu,
    Loading,
    ModelArgument,
    Output,
    output_path,
)
from vitsd_export.cli.output import megabytes, new_table, print_json, show_progress
from vitsd_export.cli.state import State
from vitsd_export.pretrained import DEFAULT_MODEL

if TYPE_CHECKING:
    from vitsd_export.workflows.quantization_search import Quantized


def quantize(
    *,
    model: ModelArgument = DEFAULT_MODEL,
    loading: Loading,
    output: Output = None,
    target: Annotated[
        Literal["litert", "onnx"], typer.Option(help="Format of the artifact.")
    ] = "onnx",
    max_drop: Annotated[
        float,
        typer.Option(
            help="Accepted loss of top-1 accuracy on held-out training images, in points."
        ),
    ] = 0.3,
    objective: Annotated[
        Literal["latency", "size"], typer.Option(help="What to minimize.")
    ] = "latency",
    scheme: Annotated[
        list[str] | None, typer.Option(help="Scheme to try. Repeatable. Default: all.")
    ] = None,
    cpu: Cpu = "avx2",
    calibration: CalibrationImages,
    plot: Annotated[
        Path | None, typer.Option(help="PNG file for a plot of the candidates.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            help="File that keeps the measurements, so that a search can resume. Default: beside the output."
        ),
    ] = None,
) -> None:
    """Searches for the fastest or smallest artifact within an accepted loss of accuracy."""
    from vitsd_export.artifact.formats import FORMATS
    from vitsd_export.workflows.quantization_search import SearchRequest, quantize_model
    from vitsd_export.workflows.targets import default_name

    (format,) = (form.name for form in FORMATS.values() if form.slug == target)
    path = output_path(output, default_name(model, format, "quantized"))
    request = SearchRequest(
        path,
        format,
        max_drop,
        objective,
        tuple(scheme or ()),
        cpu,
        calibration.source(),
        state or path.with_name(f"{path.name}.search.json"),
    )
    with show_progress() as progress:
        result = quantize_model(model, request, progress=progress, **loading.options)
    if plot is not None:
        from vitsd_export.reports.quantization_plots import write_pareto_plot

        write_pareto_plot(result.outcome, plot, path.name)
    if State.json:
        print_json(result.to_dict())
    else:
        _print_quantized(result)


def _print_quantized(result: "Quantized") -> None:
    from rich.markup import escape

    headings = ("", "candidate", "top-1 drop", "agreement", "time", "size", "")
    console, table = new_table(*headings, numbers=range(2, 6))
    outcome = result.outcome
    for trial in outcome.trials:
        figures, candidate = trial.figures, trial.candidate
        name = escape(candidate.name)
        if figures is None:
            table.add_row("", f"[dim]{name}[/]", "[dim]not possible[/]", "", "", "", "")
            continue
        is_best = candidate == outcome.best
        table.add_row(
            "[green]✓[/]" if outcome.keeps(candidate) else "[red]✗[/]",
            name,
            f"{outcome.drop(candidate):+.2f}",
            f"{figures.agreement:.2%}",
            f"{figures.latency_ratio:.2f}×",
            megabytes(figures.bytes),
            "best" if is_best else "pareto" if candidate in outcome.pareto else "",
            style="bold" if is_best else None,
        )
    console.print(table)
    for trial in outcome.trials:
        if trial.reason is not None:
            reason = f"{trial.candidate.name}: {trial.reason}"
            console.print(reason, soft_wrap=True, markup=False)
    console.print(
        f"On {result.images}; time of a call of one image on one thread by that of float32. Allowed drop: "
        f"{outcome.space.max_drop:g} points; least {outcome.space.objective} wins.",
        soft_wrap=True,
    )
    path = result.exported.path
    console.print(f"Written: {path}, {outcome.best.name}", soft_wrap=True, markup=False)
