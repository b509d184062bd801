"""The command `python -m training train`."""

import functools
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from training.options import LARGEST_SEED, Changes, Data, DataDir, RecipeName, tell


def register(app: typer.Typer) -> None:
    """Adds the command to an application."""
    app.command(name="train")(train)


def train(
    preset: Annotated[
        str,
        typer.Option(
            help="Architecture: vit-tiny, vit-small-ds, or resnet9, which serves as their teacher."
        ),
    ] = "vit-tiny",
    data: Data = "cifar10",
    data_dir: DataDir = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: runs/<preset>-<data>.")
    ] = None,
    recipe: RecipeName = "quick",
    set_: Changes = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Same as --set epochs=…")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Same as --set batch_size=…")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Same as --set optimizer.learning_rate=…")
    ] = None,
    engine: Annotated[
        Literal["auto", "tensorflow", "tensorflow-xla", "jax", "torch"],
        typer.Option(
            help="Training backend; auto: KERAS_BACKEND, else the fastest one installed, measured once."
        ),
    ] = "auto",
    start_from: Annotated[
        str | None,
        typer.Option(
            help="Model to take the initial weights from: bundled name, file, SavedModel or hf://…"
        ),
    ] = None,
    freeze: Annotated[
        Literal["none", "encoder"],
        typer.Option(help="Part whose weights stay fixed; with encoder, only the head is trained."),
    ] = "none",
    teacher: Annotated[
        str | None,
        typer.Option(help="Teacher for distillation: a trained model of the same classes."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of everything random.")
    ] = 0,
    devices: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of devices that share each batch. Default: all usable ones."
        ),
    ] = None,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option(
            help="Precision of matrix products; auto: bfloat16 where the hardware supports it."
        ),
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads. Default: all cores.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue after the last finished epoch.")
    ] = False,
    data_note: Annotated[
        str, typer.Option(help="Note on the data for the model card, such as 'JPEG copy'.")
    ] = "",
    train_images: Annotated[
        int | None, typer.Option(min=1, help="Use only this many training images.")
    ] = None,
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many epochs; --resume continues.")
    ] = None,
) -> None:
    """Trains a vision transformer and writes model.keras, card.json, curves and logs.

    Ctrl-C loses at most the current epoch. KERAS_BACKEND chooses tensorflow, jax or torch.
    """
    from training.backend import import_keras
    from training.checkpoint import check_folder, engine_of
    from training.datasets import INPUT_SIZE, dataset_name, load_split
    from training.engine_choice import (
        DEFAULT_ENGINE,
        ENGINES,
        WORTH_MEASURING,
        Workload,
        fastest_engine,
        named_engine,
    )
    from training.presets import config_of
    from training.recipes import load_recipe, with_changes
    from vitsd_export.errors import UsageError

    # Wrong options are told before the data is read and Keras is started.
    if freeze != "none" and start_from is None:
        raise UsageError("--freeze keeps the weights of a trained model: give --start-from, too.")
    config_of(preset)
    shorthands = {
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer.learning_rate": learning_rate,
    }
    given = [f"{field}={value}" for field, value in shorthands.items() if value is not None]
    chosen = with_changes(load_recipe(recipe), [*given, *(set_ or [])])
    name = f"{preset}-{dataset_name(data)}"
    folder = output or Path("runs") / name
    check_folder(folder, resume=resume)
    load = functools.partial(load_split, data, data_dir, size=INPUT_SIZE, seed=seed, tell=tell)
    training_set, test_set = load("train"), load("test")
    if train_images is not None:
        training_set = training_set.sample(min(train_images, len(training_set)), seed)
    classes = len(training_set.class_names)
    workload = Workload(
        preset=preset,
        num_classes=classes,
        image_size=chosen.plan()[0].image_size,
        batch_size=chosen.batch_size,
        precision=precision,
        threads=threads,
    )
    kind = ENGINES[engine] if engine != "auto" else named_engine()
    if kind is None and resume:
        kind = engine_of(folder)
    if kind is None and chosen.epochs * len(training_set) >= WORTH_MEASURING:
        kind = fastest_engine(workload, tell)
    kind = kind or DEFAULT_ENGINE
    os.environ["KERAS_BACKEND"] = kind.backend
    import_keras()
    from training.engines.devices import join_cluster, limit_threads

    limit_threads(threads)
    join_cluster()
    from training.loop import Settings
    from training.loop import train as run
    from training.precision import best_precision

    config = config_of(preset, num_classes=classes)
    started = time.monotonic()
    resolved = best_precision() if precision == "auto" else precision
    start = None
    if start_from is not None:
        from training.start_from import load_start

        start = load_start(start_from, preset=preset)
    settings = Settings(
        seed=seed,
        resume=resume,
        stop_after=stop_after,
        devices=devices,
        precision=resolved,
        compile=kind.compile,
        engine=kind.name,
        start=start,
        freeze_encoder=freeze == "encoder",
        teacher=teacher,
    )
    try:
        trained = run(config, chosen, training_set, folder, settings)
    except KeyboardInterrupt:
        tell("Interrupted; --resume continues after the last finished epoch.")
        raise typer.Exit(130) from None
    from training.plots import write_curves

    write_curves(trained.log, folder / "curves.png")
    details = {
        "name": name,
        "preset": preset,
        "command": shlex.join(["python", "-m", "training", *sys.argv[1:]]),
        "recipe": {"name": recipe, **chosen.to_dict()},
        "teacher": teacher,
        "start_from": start_from,
        "seed": seed,
        "precision": resolved,
        "engine": kind.name,
        "data_note": data_note,
        "session_seconds": round(time.monotonic() - started),
    }
    from training.result import write_result

    tell(write_result(trained, training_set, test_set, folder, details))
