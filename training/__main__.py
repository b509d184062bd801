"""Command line: `python -m training train --preset vit-tiny --data cifar10`."""

import sys
from collections.abc import Sequence

import typer

from training import evaluate_command, preview, recipes_command, train_command
from vitsd_export.errors import VitsdExportError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Trains and evaluates vision transformers for small datasets.",
)
for command in (train_command, recipes_command, preview, evaluate_command):
    command.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; errors are one paragraph on standard error and an exit code.

    Options without a command belong to `train`.

    Args:
        arguments: Command and options; those of the process when None.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0].startswith("-") and given[0] != "--help":
        given.insert(0, "train")
    try:
        app(given)
    except VitsdExportError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
