"""`schemes`."""

import typer

from vitsd_export.cli.options import Debug, Json
from vitsd_export.cli.output import print_json
from vitsd_export.cli.state import State


def schemes(json: Json = False, debug: Debug = False) -> None:
    """Lists the numeric schemes: how each stores weights, and where its files run."""
    from vitsd_export.quantization.schemes import SCHEMES

    if State.json:
        print_json([scheme.to_dict() for scheme in SCHEMES.values()])
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("scheme", "weights", "computed with", "LiteRT", "ONNX"):
        table.add_column(heading, overflow="fold")
    for scheme in SCHEMES.values():
        table.add_row(
            scheme.name,
            scheme.weights,
            scheme.activations,
            *(scheme.runs_on.get(format, "no") for format in ("tflite", "onnx")),
        )
    Console(highlight=False).print(table)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(schemes)
