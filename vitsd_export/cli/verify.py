"""`verify`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from vitsd_export.cli.groups import Loading, grouped
from vitsd_export.cli.options import (
    Debug,
    Json,
)
from vitsd_export.cli.output import name_images, print_json, print_verification, show_progress
from vitsd_export.cli.state import State
from vitsd_export.errors import VerificationError


@grouped
def verify(
    *,
    artifacts: Annotated[
        list[Path], typer.Argument(help="ONNX or LiteRT files, SavedModel folders.")
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            help="Keras model they were exported from. Default: the bundled model their manifest names."
        ),
    ] = None,
    loading: Loading,
    data: Annotated[
        str, typer.Option(help="Test images: sample (bundled), cifar10, cifar100, or a folder.")
    ] = "sample",
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder that holds cifar10 or cifar100. Default: Keras's cache."),
    ] = None,
    scheme: Annotated[
        str | None, typer.Option(help="Scheme whose gate applies. Default: the artifact's own.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Re-verifies artifacts against their Keras model; exit code 4 if one fails."""
    from vitsd_export.workflows.verify import verify_all

    with show_progress() as progress:
        results = verify_all(
            artifacts,
            reference=reference,
            preset=loading.preset,
            **loading.options,
            data=data,
            data_dir=data_dir,
            scheme=scheme,
            progress=progress,
        )
    if State.json:
        print_json({"artifacts": [result.to_dict() for result in results]})
    else:
        for result in results:
            images = name_images(result.verification)
            title = f"{result.path}: {result.verification.scheme} in {result.runtime}, {images}"
            if result.same_source is False:
                title += "\n(made from another file than the reference)"
            print_verification(title, result.verification)
    failed = [result for result in results if not result.verification.passed]
    if failed:
        figures = "; ".join(
            f"{result.path}: {', '.join(map(str, result.verification.failures))}"
            for result in failed
        )
        # Not raised: standard output already holds the one JSON document.
        print(
            f"error: Not as the reference model answers: {figures}. Give the model it was made from "
            "as --reference, or export it again.",
            file=sys.stderr,
        )
        raise typer.Exit(VerificationError.exit_code)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(verify)
