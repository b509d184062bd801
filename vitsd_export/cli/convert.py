"""`convert`."""

from pathlib import Path
from typing import Annotated

import typer

from vitsd_export.cli.groups import Loading, grouped
from vitsd_export.cli.options import (
    Debug,
    Json,
    Labels,
)
from vitsd_export.cli.output import megabytes, print_json, show_progress
from vitsd_export.cli.state import State


@grouped
def convert(
    *,
    source: Annotated[
        str, typer.Argument(help="Any source that --model accepts, such as hf://owner/name.")
    ],
    output: Annotated[Path, typer.Argument(help=".keras file to write.")],
    loading: Loading,
    labels: Labels = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Converts any source to a Keras 3 file and checks that both give the same answers."""
    from vitsd_export.workflows.convert_to_keras import convert_model

    with show_progress() as progress:
        converted = convert_model(
            source,
            output,
            preset=loading.preset,
            **loading.options,
            labels=labels,
            progress=progress,
        )
    if State.json:
        print_json(converted.to_dict())
        return
    print(
        f"{output}: {converted.form}, {megabytes(converted.bytes)}, answers as the source does (largest "
        f"difference {converted.difference:.1e})"
    )
    print(f"Next: vitsd-export onnx --model {output}")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(convert)
