"""Command-line options and messages that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from vitsd_export._internal.atomic_write import check_target
from vitsd_export.errors import UsageError

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


def check_png(option: str, path: Path) -> None:
    """Checks that an option names a PNG that can be written, before time is spent on it.

    Raises:
        UsageError: If it has another suffix or is a folder.
        InputError: If the folder around it does not exist.
        EnvironmentProblem: If that cannot be written to.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"{option} writes a PNG; {path} must end in .png.")
    check_target(path, folder=False)


def tell(message: str) -> None:
    """Prints a message on standard error."""
    typer.echo(message, err=True)
