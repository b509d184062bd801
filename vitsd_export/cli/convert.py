"""`convert`."""

from pathlib import Path
from typing import Annotated

import typer

from vitsd_export.cli.options import Labels, Loading
from vitsd_export.cli.output import megabytes, print_json, show_progress
from vitsd_export.cli.state import State


def convert(
    *,
    source: Annotated[
        str, typer.Argument(help="Any source that --model accepts, such as hf://owner/name.")
    ],
    output: Annotated[Path, typer.Argument(help=".keras file to write.")],
    loading: Loading,
    labels: Labels = None,
) -> None:
    """Converts any source to a Keras 3 file and checks that both give the same answers."""
    from vitsd_export.workflows.convert_to_keras import convert_model

    with show_progress() as progress:
        converted = convert_model(
            source, output, labels=labels, progress=progress, **loading.options
        )
    if State.json:
        print_json(converted.to_dict())
        return
    print(
        f"{output}: {converted.form}, {megabytes(converted.bytes)}, same answers as the source (largest "
        f"difference {converted.difference:.1e})"
    )
    print(f"Next: vitsd-export onnx --model {output}")
