"""`quantize`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vitsd_export.cli.groups import Loading, grouped
from vitsd_export.cli.options import (
    CalibrationData,
    CalibrationDataDir,
    CalibrationSamples,
    CalibrationSeed,
    Debug,
    Json,
    Output,
    output_path,
)
from vitsd_export.cli.output import print_json, show_progress
from vitsd_export.cli.state import State
from vitsd_export.pretrained import DEFAULT_MODEL


@grouped
def quantize(
    *,
    model: Annotated[
        str, typer.Argument(help="Any source that --model accepts; see `vitsd-export onnx --help`.")
    ] = DEFAULT_MODEL,
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
    cpu: Annotated[
        Literal["avx2", "vnni", "arm"],
        typer.Option(help="CPU to choose the integers of ONNX for."),
    ] = "avx2",
    calibration_data: CalibrationData = "sample",
    calibration_data_dir: CalibrationDataDir = None,
    calibration_samples: CalibrationSamples = 512,
    calibration_seed: CalibrationSeed = 0,
    plot: Annotated[
        Path | None, typer.Option(help="PNG file for a plot of the candidates.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            help="File that keeps the measurements, so that a search can resume. Default: beside the output."
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Searches for the fastest or smallest artifact within an accepted loss of accuracy."""
    from vitsd_export.artifact.formats import LITERT, ONNX
    from vitsd_export.quantization.calibration.images import CalibrationSource
    from vitsd_export.workflows.quantization_search import SearchRequest, quantize_model
    from vitsd_export.workflows.targets import default_name

    format = {"litert": LITERT, "onnx": ONNX}[target].name
    path = output_path(output, default_name(model, format, "quantized"))
    request = SearchRequest(
        path,
        format,
        max_drop,
        objective,
        tuple(scheme or ()),
        cpu,
        CalibrationSource(
            calibration_data, calibration_samples, calibration_seed, calibration_data_dir
        ),
        state or path.with_name(f"{path.name}.search.json"),
    )
    with show_progress() as progress:
        result = quantize_model(
            model,
            request,
            preset=loading.preset,
            **loading.options,
            progress=progress,
        )
    if plot is not None:
        from vitsd_export.reports.quantization_plots import write_pareto_plot

        write_pareto_plot(result.outcome, plot, path.name)
    if State.json:
        print_json(result.to_dict())
        return
    from vitsd_export.cli.quantization_output import print_quantized

    print_quantized(result)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(quantize)
