"""`predict`."""

from pathlib import Path
from typing import Annotated

import typer

from vitsd_export.cli.options import Artifact
from vitsd_export.cli.output import print_json
from vitsd_export.cli.state import State


def predict(
    artifact: Artifact,
    images: Annotated[list[Path], typer.Argument(help="Image files of any size.")],
    top: Annotated[int, typer.Option(min=1, help="Number of classes to print.")] = 5,
) -> None:
    """Classifies images with an artifact."""
    from vitsd_export.runtimes import open_runner
    from vitsd_export.workflows.predict import predict as run

    with open_runner(artifact) as runner:
        predictions = run(runner, images, top)
    if State.json:
        print_json([prediction.to_dict() for prediction in predictions])
        return
    for prediction in predictions:
        print(prediction.path)
        for label, probability in prediction.classes:
            print(f"  {probability:7.2%}  {label}")
