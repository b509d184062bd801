"""`snippet`."""

from typing import Annotated, Literal

import typer

from vitsd_export.cli.options import Artifact
from vitsd_export.cli.output import print_json
from vitsd_export.cli.state import State


def snippet(
    language: Annotated[
        Literal["kotlin", "swift", "c", "cpp", "python", "javascript", "coreml"],
        typer.Argument(
            help="Programming language; coreml: Python code that converts a SavedModel."
        ),
    ],
    artifact: Artifact,
) -> None:
    """Prints code that runs an artifact, with its tensor names, shapes and labels."""
    from vitsd_export.deploy.snippets import write_snippet

    code = write_snippet(language, artifact)
    if State.json:
        print_json({"language": language, "code": code})
        return
    print(code, end="")
