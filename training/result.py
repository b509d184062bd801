"""Writing what a run has come to: the model with its card."""

import dataclasses
import datetime
import json
import statistics
from pathlib import Path
from typing import Any

from training.evaluation import evaluate
from training.loop import Trained
from training.networks import write_network
from training.rounding import round_to_float16
from training.run_files import write_text, writing
from training.speed import accelerators, device_share, hardware, versions
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.model.config import ModelConfig


def write_result(
    trained: Trained,
    training_set: ImageDataset,
    test_set: ImageDataset,
    folder: Path,
    details: dict[str, Any],
) -> str:
    """Writes the model of a run: `model.keras` with `card.json`, or `interim.keras` of an unfinished run.

    The test images are looked at once, at the end; the card of an unfinished run has the figures of the
    held-out training images alone.

    Args:
        trained: Outcome of the run so far.
        training_set: Images it was trained on, those held out among them.
        test_set: Labelled test images.
        folder: The run's folder.
        details: What the card takes over: `name`, `preset`, `command`, `recipe`, `seed`, `precision`,
            `engine`, `teacher`, `start_from`, `data_note`, `session_seconds`.

    Returns:
        What to tell the user, a line.

    Raises:
        InputError: If a weight is too large for float16.
        EnvironmentProblem: If a file cannot be written.
    """
    epochs, done = details["recipe"]["epochs"], len(trained.log)
    best = trained.log[trained.best_epoch - 1]
    round_to_float16(trained.model)
    is_finished = done == epochs
    score = evaluate(trained.model, test_set) if is_finished else None
    scores: dict[str, Any] = {}
    if trained.held_out:
        scores["held_out"] = {
            "images": trained.held_out,
            "loss": best["validation_loss"],
            "top1": best["validation_top1"],
        }
    if score is not None:
        scores["test"] = dataclasses.asdict(score)
    card = {
        "name": details["name"],
        "preset": details["preset"],
        "labels": list(training_set.class_names),
        "command": details["command"],
        "recipe": details["recipe"],
        "teacher": details["teacher"],
        "start_from": details["start_from"],
        "seed": details["seed"],
        "data": {
            "name": training_set.name,
            "note": details["data_note"],
            "training_images": len(training_set),
            "of_these_held_out": trained.held_out,
            "sha256": training_set.sha256(),
        },
        "epochs_done": done,
        "best_epoch": trained.best_epoch,
        "weights": "float32, trainable ones rounded to float16 values",
        **scores,
        "training_seconds": round(sum(row["seconds"] for row in trained.log)),
        "session_seconds": details["session_seconds"],
        **_speed(trained, details["precision"]),
        "precision": details["precision"],
        "engine": details["engine"],
        "hardware": hardware(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": versions(),
    }
    path = folder / ("model.keras" if is_finished else "interim.keras")
    with writing(folder):
        sha256 = write_network(trained.model, trained.config, path, card)
    if score is None:
        return f"Stopped after {done} of {epochs} epochs; --resume continues. Wrote {path}."
    text = json.dumps({**card, "sha256": sha256}, indent=2, ensure_ascii=False)
    write_text(folder / "card.json", text + "\n")
    return (
        f"top-1 {score.top1:.2%}, top-5 {score.top5:.2%} on {score.images} test images. "
        f"Wrote {path}."
    )


def _speed(trained: Trained, precision: Any) -> dict[str, float]:
    """Returns the speed of the last stage, and of which share of the device's matrix peak it is."""
    size = trained.log[-1].get("image_size")
    rows = [row for row in trained.log if row.get("image_size") == size]
    speed = statistics.median(row["images_per_second"] for row in rows)
    figures = {"images_per_second": round(speed, 1)}
    if isinstance(trained.config, ModelConfig):
        # A processor is one device, however many share it.
        devices = trained.devices if accelerators() else 1
        share = device_share(trained.config, precision, speed / devices)
        figures["share_of_matrix_peak"] = round(share, 3)
    return figures
