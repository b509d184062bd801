"""Command line: `python -m training --preset vit-tiny --data cifar10 --data-dir DIR`."""

import dataclasses
import datetime
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitsd_export.errors import EnvironmentProblem, VitsdExportError

if TYPE_CHECKING:
    from training.recipes import Recipe

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

# numpy.random.seed takes no more.
_LARGEST_SEED = 2**32 - 1


def _import_keras() -> None:
    from vitsd_export.runtimes.native_stderr import quiet_native_stderr

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        # What TensorFlow logs before its log level is read cannot be switched off otherwise.
        with quiet_native_stderr():
            import keras  # noqa: F401
    except (ImportError, ValueError) as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise EnvironmentProblem(
            f"Keras cannot be started on {backend}: {error}. Install that backend, or set KERAS_BACKEND "
            "to tensorflow, jax or torch."
        ) from error


def _versions() -> dict[str, str]:
    import keras
    import numpy as np

    backend = keras.backend.backend()
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        # Keras has imported it. Its distribution may have another name, such as tensorflow-cpu.
        backend: sys.modules[backend].__version__,
        "numpy": np.__version__,
    }


def _hardware() -> str:
    import keras

    devices = [str(device) for device in keras.distribution.list_devices()]
    accelerators = [device for device in devices if not device.lower().startswith("cpu")]
    cores = f"{os.cpu_count()} CPU cores, {platform.machine()}"
    return f"{', '.join(accelerators)}; {cores}" if accelerators else cores


def _recipe(
    name: str, epochs: int | None, batch_size: int | None, learning_rate: float | None
) -> "Recipe":
    from training.recipes import load_recipe

    recipe = load_recipe(name)
    if epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=epochs)
    if batch_size is not None:
        recipe = dataclasses.replace(recipe, batch_size=batch_size)
    if learning_rate is not None:
        optimizer = dataclasses.replace(recipe.optimizer, learning_rate=learning_rate)
        recipe = dataclasses.replace(recipe, optimizer=optimizer)
    return recipe


def _write_card(path: Path, card: dict[str, Any]) -> None:
    temporary = path.with_suffix(".writing")
    temporary.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


@app.command()
def train(
    preset: Annotated[
        str, typer.Option(help="Architecture: vit-tiny or vit-small-ds.")
    ] = "vit-tiny",
    data: Annotated[
        str,
        typer.Option(
            help="cifar10, cifar100, or folder:PATH with a subfolder of images for each class."
        ),
    ] = "cifar10",
    data_dir: Annotated[
        Path | None, typer.Option(help="Where CIFAR lies. Default: Keras's cache.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: runs/<preset>-<data>.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="Hyperparameters: light or published.")] = "light",
    epochs: Annotated[int | None, typer.Option(min=1, help="In place of the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="In place of the recipe's.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak, in place of the recipe's.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=_LARGEST_SEED, help="Decides everything random.")
    ] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last finished epoch.")
    ] = False,
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
    """Trains a vision transformer for small datasets and writes model.keras, card.json and log.csv.

    Ctrl-C loses at most the current epoch. KERAS_BACKEND chooses tensorflow, jax or torch.
    """
    from rich.console import Console

    from training.checkpoint import check_folder, writing
    from training.datasets import dataset_name, load_datasets
    from vitsd_export.model.config import preset_config

    # Wrong options are told before the data is read and Keras is started.
    preset_config(preset)
    chosen = _recipe(recipe, epochs, batch_size, learning_rate)
    name = f"{preset}-{dataset_name(data)}"
    folder = output or Path("runs") / name
    check_folder(folder, resume=resume)
    console = Console(stderr=True)
    training_set, test_set = load_datasets(
        data,
        data_dir,
        size=preset_config(preset).input_size,
        seed=seed,
        on_skipped=lambda skipped: console.print(str(skipped), soft_wrap=True, markup=False),
    )
    if train_images is not None:
        training_set = training_set.sample(min(train_images, len(training_set)), seed)
    config = preset_config(preset, num_classes=len(training_set.class_names))

    _import_keras()
    from training.evaluation import evaluate
    from training.loop import split_validation
    from training.loop import train as run
    from vitsd_export.model.checkpoint import write_model

    started = time.monotonic()
    try:
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
    except KeyboardInterrupt:
        console.print("Interrupted; --resume goes on from the last finished epoch.")
        raise typer.Exit(130) from None
    if len(trained.log) < chosen.epochs:
        console.print(
            f"Stopped after {len(trained.log)} of {chosen.epochs} epochs; --resume goes on."
        )
        return
    score = evaluate(trained.model, test_set)
    validation_set = split_validation(training_set, chosen.validation_images, seed)[1]
    card = {
        "name": name,
        "preset": preset,
        "labels": list(training_set.class_names),
        "command": shlex.join(["python", "-m", "training", *sys.argv[1:]]),
        "recipe": {"name": recipe, **chosen.to_dict()},
        "seed": seed,
        "data": {
            "name": training_set.name,
            "note": data_note,
            "training_images": len(training_set),
            "of_these_held_out": len(validation_set),
            "sha256": training_set.sha256(),
        },
        "test": dataclasses.asdict(score),
        "training_seconds": round(sum(row["seconds"] for row in trained.log)),
        "session_seconds": round(time.monotonic() - started),
        "hardware": _hardware(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": _versions(),
    }
    with writing(folder):
        sha256 = write_model(trained.model, config, folder / "model.keras", card)
        _write_card(folder / "card.json", {**card, "sha256": sha256})
    console.print(
        f"top-1 {score.top1:.2%}, top-5 {score.top5:.2%} on {score.images} test images. "
        f"Wrote {folder / 'model.keras'}.",
        soft_wrap=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; errors are one paragraph on standard error and an exit code.

    Args:
        arguments: Options; those of the process when None.
    """
    try:
        app(arguments)
    except VitsdExportError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
