"""The program, what holds for all of its commands, and how it ends."""

import sys
import traceback
from types import TracebackType
from typing import Annotated, Any

import typer

from vitsd_export import __version__
from vitsd_export.cli.output import name_images, print_json, print_verification
from vitsd_export.cli.state import State
from vitsd_export.errors import EnvironmentProblem, UsageError, VitsdExportError

app = typer.Typer(
    name="vitsd-export",
    help="Exports Keras vision transformers for small datasets to ONNX, LiteRT and SavedModel. Every "
    "artifact is verified against the Keras model on real images.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(value: bool) -> None:
    if value:
        print(f"vitsd-export {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Options of the program itself."""


def report(error: VitsdExportError) -> None:
    verification = getattr(error, "verification", None)
    if State.json:
        document: dict[str, Any] = {"error": str(error), "exit_code": error.exit_code}
        if verification is not None:
            document["verification"] = verification.to_dict()
        print_json(document)
    elif verification is not None:
        title = f"{getattr(error, 'path', '')}: not written, {name_images(verification)}"
        print_verification(title, verification)
    print(f"error: {error}", file=sys.stderr)


def _show_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if State.debug:
        sys.__excepthook__(kind, error, trace)
        return
    reason = " ".join(f"{kind.__name__}: {error}".split())
    report(
        VitsdExportError(
            f"This is a bug in vitsd-export ({reason}). Run the command again with --debug and report "
            "what it prints."
        )
    )


def main() -> None:
    """Runs the command line; exit codes: 0 done, 1 bug, 2 usage, 3 input, 4 verification, 5 environment."""
    sys.excepthook = _show_bug
    as_json = "--json" in sys.argv
    try:
        # Not `app()`, which puts an exception hook of its own in place.
        sys.exit(typer.main.get_command(app)(standalone_mode=not as_json))
    except typer.TyperException as error:
        # What typer finds wrong with the options it prints itself, unless JSON is asked for.
        State.json = True
        report(UsageError(error.format_message()))
        sys.exit(error.exit_code)
    except VitsdExportError as error:
        if State.debug:
            traceback.print_exc()
        report(error)
        sys.exit(error.exit_code)
    except MemoryError:
        report(EnvironmentProblem("There is not enough memory for this model."))
        sys.exit(EnvironmentProblem.exit_code)
