"""Training images in two parts."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitsd_export.data.sample import load_sample
from vitsd_export.errors import InputError
from vitsd_export.quantization.calibration import held_out
from vitsd_export.quantization.calibration.held_out import FEWEST_HELD_OUT, read_training_images
from vitsd_export.quantization.calibration.images import CalibrationSource


def pictures(folder: Path, count: int) -> CalibrationSource:
    """A folder of so many different pictures."""
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04}.png")
    return CalibrationSource(str(folder))


def contents(images: np.ndarray) -> list[bytes]:
    return [image.tobytes() for image in images]


def test_what_the_calibration_leaves_is_held_out(tmp_path: Path) -> None:
    source = dataclasses.replace(pictures(tmp_path, 260), count=40)
    found = read_training_images(source, 8)
    calibration = contents(found.calibration.images)
    kept = contents(found.held_out.images)
    assert (len(calibration), len(kept)) == (40, 220)
    assert len(set(calibration + kept)) == 260
    # Fewer are left than are held out, so that nothing more is observed.
    assert contents(found.observed.images) == calibration
    again = read_training_images(source, 8)
    assert contents(again.held_out.images) == kept


def test_directions_are_observed_on_more_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out, "MOST_HELD_OUT", 210)
    monkeypatch.setattr(held_out, "MOST_OBSERVED", 70)
    source = dataclasses.replace(pictures(tmp_path, 300), count=40)
    found = read_training_images(source, 8)
    observed = contents(found.observed.images)
    assert observed[:40] == contents(found.calibration.images)
    kept = contents(found.held_out.images)
    assert (len(observed), len(kept)) == (70, 210)
    assert len(set(observed + kept)) == 280


def test_the_sample_of_cifar10_is_divided() -> None:
    found = read_training_images(CalibrationSource("cifar10-sample"), 32)
    sample = load_sample("calibration")
    assert found.observed is found.calibration
    assert len(found.calibration) == 512 - FEWEST_HELD_OUT
    both = np.concatenate([found.calibration.images, found.held_out.images])
    np.testing.assert_array_equal(both, sample.images)
    assert found.held_out.labels is not None
    assert sample.labels is not None
    np.testing.assert_array_equal(found.held_out.labels, sample.labels[-FEWEST_HELD_OUT:])


def test_the_sample_of_cifar100_leaves_enough_to_choose_on() -> None:
    found = read_training_images(CalibrationSource("cifar100-sample"), 32)
    assert (len(found.calibration), len(found.held_out)) == (512, 488)
    assert not set(contents(found.calibration.images)) & set(contents(found.held_out.images))


def test_too_few_for_both_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="200 are held out to choose on"):
        read_training_images(pictures(tmp_path, 210), 8)
