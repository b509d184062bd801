"""Tests of the script that makes the bundled sample."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.data.layouts import Rows, random_images, write_cifar10_pickles
from vitsd_export.data.build_sample import build_sample, main
from vitsd_export.data.cifar import load_cifar
from vitsd_export.errors import InputError


@pytest.fixture
def pickles(tmp_path: Path) -> tuple[Path, Rows, Rows]:
    # 40 images in each of the five batches, 4 of each class.
    train = (random_images(200, 0), np.arange(200) * 3 % 10)
    test = (random_images(12, 1), np.arange(12) % 10)
    return write_cifar10_pickles(tmp_path / "original", train, test), train, test


def test_sample_takes_the_first_images_evenly(
    pickles: tuple[Path, Rows, Rows], tmp_path: Path
) -> None:
    folder, train, test = pickles
    build_sample(folder, tmp_path / "new" / "sample", calibration=53, verification=12)

    verification = load_cifar("cifar10", "test", tmp_path / "new" / "sample")
    np.testing.assert_array_equal(verification.images, test[0])
    np.testing.assert_array_equal(verification.labels, test[1])

    calibration = load_cifar("cifar10", "train", tmp_path / "new" / "sample")
    assert calibration.labels is not None
    np.testing.assert_array_equal(calibration.labels, np.arange(53) % 10)
    rows = [int((train[0] == image).all((1, 2, 3)).argmax()) for image in calibration.images]
    np.testing.assert_array_equal(train[0][rows], calibration.images)
    np.testing.assert_array_equal(train[1][rows], calibration.labels)
    assert len(set(rows)) == 53
    batches = np.bincount(np.array(rows) // 40)
    assert np.ptp(batches) <= 1


def test_paths_say_where_the_images_come_from(
    pickles: tuple[Path, Rows, Rows], tmp_path: Path
) -> None:
    folder, train, _ = pickles
    build_sample(folder, tmp_path, calibration=20, verification=1)
    table = pq.read_table(tmp_path / "train-00000-of-00001.parquet")
    images = load_cifar("cifar10", "train", tmp_path).images
    for cell, image in zip(table["img"].to_pylist(), images, strict=True):
        batch, row = cell["path"].removesuffix(".png").split("/")
        index = (int(batch.removeprefix("data_batch_")) - 1) * 40 + int(row)
        np.testing.assert_array_equal(train[0][index], image)


def test_same_input_gives_the_same_bytes(pickles: tuple[Path, Rows, Rows], tmp_path: Path) -> None:
    for name in ("first", "second"):
        # The parent of the pickles' folder will do as well.
        build_sample(pickles[0].parent, tmp_path / name, calibration=30, verification=5)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert files == ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


@pytest.mark.parametrize(
    ("calibration", "verification", "message"),
    [(10, 13, "test_batch has 12 images, fewer than 13"), (500, 1, "has too few images of class")],
)
def test_too_few_images_are_refused(
    pickles: tuple[Path, Rows, Rows],
    tmp_path: Path,
    calibration: int,
    verification: int,
    message: str,
) -> None:
    with pytest.raises(InputError, match=message):
        build_sample(pickles[0], tmp_path, calibration=calibration, verification=verification)


def test_command_fails_clearly_on_a_folder_without_pickles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["--data-dir", str(tmp_path), "--output", str(tmp_path / "out")])
    assert code == 3
    assert "does not hold the original pickles" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_command_writes_the_sample(tmp_path: Path) -> None:
    train = (random_images(600, 0), np.arange(600) % 10)
    test = (random_images(500, 1), np.arange(500) % 10)
    folder = write_cifar10_pickles(tmp_path, train, test)
    assert main(["--data-dir", str(folder), "--output", str(tmp_path / "out")]) == 0
    assert len(load_cifar("cifar10", "train", tmp_path / "out")) == 512
    assert len(load_cifar("cifar10", "test", tmp_path / "out")) == 500
