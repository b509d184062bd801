"""Where int8 takes its ranges from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.archives import without_zip
from tests.support.cifar_layouts import random_images, write_cifar10_pickles
from tests.support.command_line import Artifacts, run_command


def quantize(model: Path, target: Path, *options: object) -> Any:
    """Exports to int8; returns what the manifest says of the calibration."""
    # Unverified: the ranges of a few images of noise may well miss the gate.
    outcome = run_command(
        "tflite", "--model", model, "--quantize", "--no-verify", *options, "-o", target
    )
    assert outcome.exit_code == 0, outcome.stderr
    beside = target.with_name(f"{target.name}.json")
    return json.loads(beside.read_text(encoding="utf-8"))["calibration"]


def test_the_same_seed_gives_the_same_file_and_another_seed_other_images(
    small_model: Path, tmp_path: Path
) -> None:
    targets = [tmp_path / f"{index}.tflite" for index in range(3)]
    first, second, other = (
        quantize(small_model, target, "--calibration-samples", 32, "--calibration-seed", seed)
        for target, seed in zip(targets, (7, 7, 8), strict=True)
    )
    assert (first["count"], first["seed"]) == (32, 7)
    assert (other["count"], other["seed"]) == (32, 8)
    assert first == second
    assert without_zip(targets[0]) == without_zip(targets[1])
    assert first["sha256"] != other["sha256"]
    assert without_zip(targets[0]) != without_zip(targets[2])


def test_ranges_from_a_folder_of_pictures(small_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, image in enumerate(random_images(20, 5, size=40)):
        Image.fromarray(image).save(folder / f"{index}.png")
    told = quantize(small_model, tmp_path / "x.tflite", "--calibration-data", folder)
    assert told["source"] == str(folder)
    assert told["count"] == 20


def test_ranges_from_cifar10(small_model: Path, small_artifacts: Artifacts, tmp_path: Path) -> None:
    rows = (random_images(40, 6), np.arange(40) % 10)
    write_cifar10_pickles(tmp_path, train=rows, test=rows)
    told = quantize(
        small_model,
        tmp_path / "x.tflite",
        *("--calibration-data", "cifar10", "--calibration-data-dir", tmp_path),
        *("--calibration-samples", 24),
    )
    assert told["count"] == 24
    assert told["split"] == "train"
    assert "cifar-10-batches-py" in told["source"]
    assert without_zip(tmp_path / "x.tflite") != without_zip(small_artifacts.int8)


def test_the_bundled_sample_is_all_of_its_training_images(small_artifacts: Artifacts) -> None:
    beside = small_artifacts.int8.with_name(f"{small_artifacts.int8.name}.json")
    told = json.loads(beside.read_text(encoding="utf-8"))["calibration"]
    assert told["count"] == 512
    assert told["split"] == "train"
    assert "sample" in told["source"]


@pytest.mark.parametrize(
    "options",
    [
        ["--calibration-data-dir", "."],
        ["--calibration-seed", "-1"],
        ["--calibration-samples", "0"],
    ],
)
def test_options_that_mean_nothing_are_refused(
    small_model: Path, tmp_path: Path, options: list[str]
) -> None:
    outcome = run_command(
        "tflite", "--model", small_model, "--quantize", *options, "-o", tmp_path / "x.tflite"
    )
    assert outcome.exit_code == 2
    assert "Traceback" not in outcome.stderr
    assert list(tmp_path.iterdir()) == []
