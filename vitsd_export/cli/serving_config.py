"""`serving-config`."""

from typing import Annotated, Literal

import typer

from vitsd_export.cli.options import Artifact, OutputFolder
from vitsd_export.cli.output import print_json
from vitsd_export.cli.state import State


def serving_config(
    server: Annotated[
        Literal["triton", "tf-serving"],
        typer.Argument(help="Server: triton takes an ONNX file, tf-serving a SavedModel."),
    ],
    artifact: Artifact,
    output: OutputFolder,
    name: Annotated[
        str | None, typer.Option(help="Model name that clients use. Default: the artifact's name.")
    ] = None,
) -> None:
    """Writes the model folder of an inference server, and prints the command that starts it."""
    from vitsd_export.deploy.serving_config import write_serving_config

    written = write_serving_config(server, artifact, output, name=name)
    if State.json:
        print_json({"folder": str(output), "name": written.name, "command": written.command})
        return
    print(f"{output}, to be served there by:")
    print(f"  {written.command}")
