"""`schemes`."""

import typer

from vitsd_export.cli.options import Debug, Json
from vitsd_export.cli.output import print_json
from vitsd_export.cli.state import State


def schemes(json: Json = False, debug: Debug = False) -> None:
    """Lists the numeric schemes: how each stores weights, and where its files run."""
    from vitsd_export.artifact.formats import FORMATS
    from vitsd_export.quantization.schemes import SCHEMES, schemes_of

    if State.json:
        print_json([scheme.to_dict() for scheme in SCHEMES.values()])
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    # A column for each format that leaves a choice.
    formats = [form for form in FORMATS.values() if len(schemes_of(form.name)) > 1]
    for heading in ("scheme", "weights", "computed with", *(form.title for form in formats)):
        table.add_column(heading, overflow="fold")
    for scheme in SCHEMES.values():
        table.add_row(
            scheme.name,
            scheme.weights,
            scheme.activations,
            *(scheme.runs_on.get(form.name, "no") for form in formats),
        )
    Console(highlight=False).print(table)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(schemes)
