"""`sensitivity`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitsd_export.cli.options import Artifact, DataDir, Preset
from vitsd_export.cli.output import new_table, print_json, show_progress
from vitsd_export.cli.state import State

if TYPE_CHECKING:
    from vitsd_export.measure.layer_error import Sensitivity


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
    data_dir: DataDir = None,
    samples: Annotated[int, typer.Option(min=1, help="Number of images.")] = 128,
    plot: Annotated[Path | None, typer.Option(help="PNG file for a plot of the layers.")] = None,
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
    else:
        _print_sensitivity(found)


def _print_sensitivity(found: "Sensitivity") -> None:
    console, table = new_table("layer", "SQNR", "max abs difference", numbers=(1, 2))
    for layer in found.layers:
        ratio = f"{layer.sqnr:.1f} dB"
        if math.isinf(layer.sqnr):
            ratio = "equal" if layer.sqnr > 0 else "not finite"
        table.add_row(layer.name, ratio, f"{layer.max_abs_difference:.3g}")
    console.print(table)
    if found.missing:
        console.print(f"Not in the artifact: {', '.join(found.missing)}", soft_wrap=True)
    console.print(f"On {found.images} images; noise adds up from layer to layer.")
