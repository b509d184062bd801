"""`serving-config`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vitsd_export.cli.options import Artifact, Debug, Json
from vitsd_export.cli.output import print_json
from vitsd_export.cli.state import State


def serving_config(
    server: Annotated[
        Literal["triton", "tf-serving"],
        typer.Argument(help="triton serves an ONNX file, tf-serving a SavedModel."),
    ],
    artifact: Artifact,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
    name: Annotated[
        str | None, typer.Option(help="Name that clients call the model by. Default: the file's.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Writes the folder from which a server answers with an artifact, and how to start it."""
    from vitsd_export.serving_config import write_serving_config

    written = write_serving_config(server, artifact, output, name=name)
    if State.json:
        print_json({"folder": str(output), "name": written.name, "command": written.command})
        return
    print(f"{output}, to be served there by:")
    print(f"  {written.command}")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("serving-config")(serving_config)
