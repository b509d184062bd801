"""`verify`."""

import sys
from typing import Annotated

import typer

from vitsd_export.cli.options import Artifacts, DataDir, Loading, Reference, TestData
from vitsd_export.cli.output import name_images, print_json, print_verification, show_progress
from vitsd_export.cli.state import State
from vitsd_export.errors import VerificationError


def verify(
    *,
    artifacts: Artifacts,
    reference: Reference = None,
    loading: Loading,
    data: TestData = "sample",
    data_dir: DataDir = None,
    scheme: Annotated[
        str | None, typer.Option(help="Scheme whose gate applies. Default: the artifact's own.")
    ] = None,
) -> None:
    """Re-verifies artifacts against their Keras model; exit code 4 if one fails."""
    from vitsd_export.workflows.verify import verify_all

    with show_progress() as progress:
        results = verify_all(
            artifacts,
            reference=reference,
            data=data,
            data_dir=data_dir,
            scheme=scheme,
            progress=progress,
            **loading.options,
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
    failed = [
        f"{result.path}: {', '.join(map(str, result.verification.failures))}"
        for result in results
        if not result.verification.passed
    ]
    if failed:
        # Not raised: standard output already holds the one JSON document.
        print(
            f"error: The answers differ from the reference model's: {'; '.join(failed)}. Give the model it "
            "was made from as --reference, or export it again.",
            file=sys.stderr,
        )
        raise typer.Exit(VerificationError.exit_code)
