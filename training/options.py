"""Command-line options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

# numpy.random.seed takes no more.
LARGEST_SEED = 2**32 - 1

Data = Annotated[
    str,
    typer.Option(
        help="cifar10, cifar100, or folder:PATH with a subfolder of images for each class."
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Where CIFAR lies. Default: Keras's cache; downloaded if it is empty."),
]
RecipeName = Annotated[
    str, typer.Option(help="Name, as `recipes` lists them, or path of a .toml file.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="FIELD=VALUE in place of the recipe's; may be given again."),
]
