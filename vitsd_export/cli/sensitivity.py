"""`sensitivity`."""

from pathlib import Path
from typing import Annotated

import typer

from vitsd_export.cli.options import Artifact, Debug, Json, Preset
from vitsd_export.cli.output import print_json, show_progress
from vitsd_export.cli.state import State


def sensitivity(
    model: Annotated[
        str,
        typer.Argument(
            help="Model the artifact was exported from, or a float32 artifact of that model."
        ),
    ],
    artifact: Artifact,
    preset: Preset = None,
    data: Annotated[
        str,
        typer.Option(
            help="Images: sample (bundled), cifar10, cifar100, or a folder; always their training split."
        ),
    ] = "sample",
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder that holds cifar10 or cifar100. Default: Keras's cache."),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Number of images.")] = 128,
    plot: Annotated[Path | None, typer.Option(help="PNG file for a plot of the layers.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Ranks the layers of an ONNX or LiteRT file by their quantization error, worst first."""
    from vitsd_export.workflows.layer_error import artifact_sensitivity

    with show_progress() as progress:
        found = artifact_sensitivity(
            model,
            artifact,
            preset=preset,
            data=data,
            data_dir=data_dir,
            samples=samples,
            progress=progress,
        )
    if plot is not None:
        from vitsd_export.reports.quantization_plots import write_sensitivity_plot

        write_sensitivity_plot(found, plot, artifact.name)
    if State.json:
        print_json(found.to_dict())
        return
    from vitsd_export.cli.quantization_output import print_sensitivity

    print_sensitivity(found)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(sensitivity)
