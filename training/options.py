"""Command-line options and messages that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

# numpy.random.seed takes no more.
LARGEST_SEED = 2**32 - 1

Data = Annotated[
    str,
    typer.Option(help="cifar10, cifar100, or folder:PATH with one subfolder of images per class."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder that holds CIFAR. Default: Keras's cache; CIFAR is downloaded if missing."
    ),
]
RecipeName = Annotated[
    str, typer.Option(help="Name of a recipe (`recipes` lists them), or path of a .toml file.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="FIELD=VALUE: overrides a field of the recipe. Repeatable."),
]


def tell(message: str) -> None:
    """Prints a message on standard error."""
    typer.echo(message, err=True)
