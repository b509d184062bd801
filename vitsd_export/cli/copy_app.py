"""`app`."""

from typing import Annotated, Literal

import typer

from vitsd_export.cli.options import Artifact, OutputFolder
from vitsd_export.cli.output import print_json
from vitsd_export.cli.state import State


def copy_app(
    kind: Annotated[
        Literal["python", "web", "node", "transformers"],
        typer.Argument(
            help="Kind of app: python runs ONNX and LiteRT files, web and node run ONNX; transformers: a "
            "model folder for @huggingface/transformers and Optimum, from ONNX."
        ),
    ],
    artifact: Artifact,
    output: OutputFolder,
    force: Annotated[
        bool, typer.Option("--force", help="Write into a folder that is not empty.")
    ] = False,
) -> None:
    """Writes a folder with an artifact and a small app that needs nothing but its runtime."""
    if kind == "web":
        from vitsd_export.deploy.web_site import write_site

        write_site(artifact, output, force=force)
        commands = ["python3 -m http.server --bind 127.0.0.1 8000"]
    elif kind == "transformers":
        from vitsd_export.deploy.transformers_folder import write_transformers_folder

        write_transformers_folder(artifact, output, force=force)
        commands = ["npm install @huggingface/transformers"]
    else:
        from vitsd_export.deploy.app_bundle import copy_app as run

        copied = run(kind, artifact, output, force=force)
        commands = [copied.install, copied.run]
    if State.json:
        print_json({"folder": str(output), "commands": commands})
        return
    print(f"{output} is ready; there:")
    for command in commands:
        print(f"  {command}")
