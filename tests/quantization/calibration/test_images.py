"""Which images may set ranges."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.cifar_layouts import random_images
from vitsd_export.data.labels import CIFAR10_CLASSES, CIFAR100_FINE_CLASSES
from vitsd_export.data.originals import CifarName
from vitsd_export.data.sample import load_sample
from vitsd_export.errors import InputError, UsageError
from vitsd_export.quantization.calibration.images import CalibrationSource, read_calibration_images


def write_pictures(folder: Path, images: np.ndarray) -> str:
    """Writes pictures to a folder; returns its name."""
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index:03}.png")
    return str(folder)


def test_the_test_split_is_refused_unless_forced() -> None:
    source = CalibrationSource(split="test")
    with pytest.raises(UsageError, match=r"cannot be used for calibration.*--force"):
        read_calibration_images(source, 32)
    forced = read_calibration_images(CalibrationSource(split="test", force=True), 32)
    assert forced.split == "test"


@pytest.mark.parametrize("name", ["test", "Val", "validation"])
def test_a_folder_with_the_name_of_a_test_split_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_pictures(tmp_path / name, random_images(20, 1))
    with pytest.raises(UsageError, match="cannot be used for calibration"):
        read_calibration_images(CalibrationSource(folder), 32)
    assert len(read_calibration_images(CalibrationSource(folder, force=True), 32)) == 20


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_pictures_of_the_verification_are_refused_wherever_they_lie(
    tmp_path: Path, name: CifarName
) -> None:
    images = load_sample("verification", name).images
    pictures = np.concatenate([random_images(20, 1), images[7:9]])
    folder = write_pictures(tmp_path / "mine", pictures)
    with pytest.raises(UsageError, match="2 images are those of the verification"):
        read_calibration_images(CalibrationSource(folder), 32)


@pytest.mark.parametrize("count", [1, 15])
def test_few_pictures_are_refused_unless_forced(tmp_path: Path, count: int) -> None:
    folder = write_pictures(tmp_path / "few", random_images(count, 2))
    with pytest.raises(InputError, match=rf"has {count} calibration images"):
        read_calibration_images(CalibrationSource(folder), 32)
    told: list[str] = []
    data = read_calibration_images(CalibrationSource(folder, force=True), 32, told.append)
    assert len(data) == count
    assert f"note: ranges of {count} calibration images will clip others" in told


@pytest.mark.parametrize(("size", "noted"), [(32, False), (40, True)])
def test_pictures_of_another_size_are_told_of(tmp_path: Path, size: int, noted: bool) -> None:
    folder = write_pictures(tmp_path / "mine", random_images(20, 3, size=size))
    told: list[str] = []
    data = read_calibration_images(CalibrationSource(folder), 32, told.append)
    assert data.images.shape == (20, 32, 32, 3)
    assert any("not 32×32 pixels" in line for line in told) is noted


def test_the_same_seed_draws_the_same_pictures() -> None:
    first, second, other = (
        read_calibration_images(CalibrationSource(count=20, seed=seed), 32) for seed in (4, 4, 5)
    )
    assert first.sha256() == second.sha256() != other.sha256()


def test_a_method_that_is_not_there_is_refused() -> None:
    source = CalibrationSource(method="median")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="minmax, percentile, entropy, mse"):
        read_calibration_images(source, 32)


def test_the_sample_is_fitted_to_a_model_and_other_sources_are_left_alone() -> None:
    source = CalibrationSource(count=20, seed=3)
    for names, fitting in (
        (CIFAR10_CLASSES, "cifar10-sample"),
        (CIFAR100_FINE_CLASSES, "cifar100-sample"),
    ):
        assert source.fitting(names) == CalibrationSource(fitting, count=20, seed=3)
    folder = CalibrationSource("some/folder")
    assert folder.fitting(CIFAR10_CLASSES) == folder
