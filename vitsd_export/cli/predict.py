"""`predict`."""

from pathlib import Path
from typing import Annotated

import typer

from vitsd_export.cli.options import Artifact, Debug, Json
from vitsd_export.cli.output import print_json
from vitsd_export.cli.state import State


def predict(
    artifact: Artifact,
    images: Annotated[list[Path], typer.Argument(help="Image files of any size.")],
    top: Annotated[int, typer.Option(min=1, help="Number of classes to print.")] = 5,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Classifies images with an artifact."""
    from vitsd_export.runtimes import open_runner
    from vitsd_export.workflows.predict import predict as run

    with open_runner(artifact) as runner:
        predictions = run(runner, images, top)
    if State.json:
        print_json(
            [
                {
                    "image": str(prediction.path),
                    "classes": [
                        {"label": label, "probability": probability}
                        for label, probability in prediction.classes
                    ],
                }
                for prediction in predictions
            ]
        )
        return
    for prediction in predictions:
        print(prediction.path)
        for label, probability in prediction.classes:
            print(f"  {probability:7.2%}  {label}")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(predict)
