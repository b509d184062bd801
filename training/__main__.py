"""Command line: `python -m training --preset vit-tiny --data cifar10 --data-dir DIR`."""

import dataclasses
import datetime
import json
import os
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vitsd_export.errors import UsageError, VitsdExportError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    import keras

    backend = keras.backend.backend()
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        backend: version(backend),
        "numpy": version("numpy"),
    }


@app.command()
def train(
    preset: Annotated[str, typer.Option(help="Architecture: vit-tiny or vit-small-ds.")] = "vit-tiny",
    data: Annotated[str, typer.Option(help="Data set: cifar10 or cifar100.")] = "cifar10",
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder that holds it; Keras's cache when left out.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: runs/<preset>-<data>.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="Hyperparameters: light or published.")] = "light",
    epochs: Annotated[int | None, typer.Option(min=1, help="In place of the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="In place of the recipe's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0, help="In place of the recipe's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides everything random.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on from the last finished epoch.")] = False,
    data_note: Annotated[
        str, typer.Option(help="What the card should say of the data, such as 'JPEG copy'.")
    ] = "",
    train_images: Annotated[
        int | None, typer.Option(min=1, help="Use only this many training images.")
    ] = None,
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many epochs; --resume goes on.")
    ] = None,
) -> None:
    """Trains a vision transformer for small datasets and writes model.keras, card.json and log.csv."""
    from training.evaluation import evaluate
    from training.loop import train as run
    from training.recipes import load_recipe
    from vitsd_export.data.cifar import load_cifar
    from vitsd_export.model.checkpoint import write_model
    from vitsd_export.model.config import preset_config

    if data not in ("cifar10", "cifar100"):
        raise UsageError(f"--data must be cifar10 or cifar100, not {data!r}.")
    console = Console(stderr=True)
    chosen = load_recipe(recipe)
    if epochs is not None:
        chosen = dataclasses.replace(chosen, epochs=epochs)
    if batch_size is not None:
        chosen = dataclasses.replace(chosen, batch_size=batch_size)
    if learning_rate is not None:
        chosen = dataclasses.replace(
            chosen,
            optimizer=dataclasses.replace(chosen.optimizer, learning_rate=learning_rate),
        )
    folder = output or Path("runs") / f"{preset}-{data}"
    training_set = load_cifar(data, "train", data_dir)  # type: ignore[arg-type]
    test_set = load_cifar(data, "test", data_dir)  # type: ignore[arg-type]
    if train_images is not None:
        training_set = training_set.sample(min(train_images, len(training_set)), seed)
    config = preset_config(preset, num_classes=len(training_set.class_names))

    started = time.monotonic()
    trained = run(
        config,
        chosen,
        training_set,
        folder,
        seed=seed,
        resume=resume,
        stop_after=stop_after,
        console=console,
    )
    if len(trained.log) < chosen.epochs:
        console.print(f"Stopped after {len(trained.log)} of {chosen.epochs} epochs; --resume goes on.")
        return
    score = evaluate(trained.model, test_set)
    card = {
        "name": f"{preset}-{data}",
        "preset": preset,
        "labels": list(training_set.class_names),
        "command": shlex.join(["python", "-m", "training", *sys.argv[1:]]),
        "recipe": {"name": recipe, **chosen.to_dict()},
        "seed": seed,
        "data": {
            "name": data,
            "note": data_note,
            "training_images": len(training_set),
            "sha256": training_set.sha256(),
        },
        "test": dataclasses.asdict(score),
        "training_seconds": round(sum(row["seconds"] for row in trained.log)),
        "session_seconds": round(time.monotonic() - started),
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": _versions(),
    }
    sha256 = write_model(trained.model, config, folder / "model.keras", card)
    (folder / "card.json").write_text(
        json.dumps({**card, "sha256": sha256}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    console.print(
        f"top-1 {score.top1:.2%}, top-5 {score.top5:.2%} on {score.images} test images. "
        f"Wrote {folder / 'model.keras'}."
    )


def main() -> None:
    """Runs the command line; errors are one paragraph on standard error and an exit code."""
    try:
        app(standalone_mode=False)
    except VitsdExportError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("Interrupted; --resume goes on from the last finished epoch.", file=sys.stderr)
        sys.exit(130)
    except typer.Abort:
        sys.exit(130)


if __name__ == "__main__":
    main()
