"""The command `python -m training evaluate`."""

import json as json_format
from pathlib import Path
from typing import Annotated, Literal

import typer

from training.options import LARGEST_SEED, Data, DataDir, check_png, tell
from vitsd_export.pretrained import DEFAULT_MODEL
from vitsd_export.sources.location import locate


def register(app: typer.Typer) -> None:
    """Adds the command to an application."""
    app.command(name="evaluate")(evaluate)


def evaluate(
    checkpoint: Annotated[
        str,
        typer.Argument(
            help="Name of a bundled model, .keras file, or .weights.h5 file with --preset."
        ),
    ] = DEFAULT_MODEL,
    data: Data = "cifar100",
    data_dir: DataDir = None,
    split: Annotated[
        Literal["test", "train", "validation"],
        typer.Option(help="Images to evaluate on; validation: those that training held out."),
    ] = "test",
    preset: Annotated[
        str | None,
        typer.Option(help="Architecture of a weights-only file: vit-tiny or vit-small-ds."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per call of the model.")] = 250,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=LARGEST_SEED,
            help="Seed of the training run, which chose the held-out images. Default: the checkpoint's or 0.",
        ),
    ] = None,
    confusion: Annotated[
        Path | None, typer.Option(help="PNG file for the confusion matrix.")
    ] = None,
    all_classes: Annotated[
        bool, typer.Option("--all-classes", help="Show every class, not only the 20 worst.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on standard output.")
    ] = False,
) -> None:
    """Evaluates a checkpoint: top-1, top-5, loss, calibration error, accuracy and confusion per class."""
    from rich.console import Console

    from training.backend import import_keras
    from training.datasets import dataset_name

    # Wrong options are told before Keras is started and the data is read.
    locate(checkpoint)
    dataset_name(data)
    if confusion is not None:
        check_png("--confusion", confusion)

    import_keras()
    from training.evaluate_checkpoint import evaluate_checkpoint, print_evaluation

    evaluation = evaluate_checkpoint(
        checkpoint,
        data,
        data_dir=data_dir,
        split=split,
        preset=preset,
        batch_size=batch_size,
        seed=seed,
        tell=tell,
    )
    if confusion is not None:
        from training.plots import write_confusion_matrix

        write_confusion_matrix(evaluation.report, confusion)
        tell(f"Wrote {confusion}.")
    if json:
        document = evaluation.to_dict()
        document["confusion_picture"] = None if confusion is None else str(confusion)
        print(json_format.dumps(document, indent=2, ensure_ascii=False))
    else:
        print_evaluation(evaluation, Console(), all_classes=all_classes)
