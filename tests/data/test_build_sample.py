"""Tests of the script that makes the bundled samples."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.cifar_layouts import (
    Rows,
    random_images,
    write_cifar10_pickles,
    write_cifar100_pickles,
    write_parquet,
)
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
    build_sample("cifar10", folder, tmp_path / "new" / "sample", calibration=53, verification=12)

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
    build_sample("cifar10", folder, tmp_path, calibration=20, verification=1)
    table = pq.read_table(tmp_path / "train-00000-of-00001.parquet")
    images = load_cifar("cifar10", "train", tmp_path).images
    for cell, image in zip(table["img"].to_pylist(), images, strict=True):
        batch, row = cell["path"].removesuffix(".webp").split("/")
        index = (int(batch.removeprefix("data_batch_")) - 1) * 40 + int(row)
        np.testing.assert_array_equal(train[0][index], image)


def test_same_input_gives_the_same_bytes(pickles: tuple[Path, Rows, Rows], tmp_path: Path) -> None:
    for name in ("first", "second"):
        # The parent of the pickles' folder will do as well.
        build_sample("cifar10", pickles[0].parent, tmp_path / name, calibration=30, verification=5)
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
        build_sample(
            "cifar10", pickles[0], tmp_path, calibration=calibration, verification=verification
        )


def test_command_fails_clearly_on_a_folder_without_pickles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["cifar10", "--data-dir", str(tmp_path), "--output", str(tmp_path / "out")])
    assert code == 3
    assert "does not hold the original pickles" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_command_writes_the_sample(tmp_path: Path) -> None:
    train = (random_images(600, 0), np.arange(600) % 10)
    test = (random_images(500, 1), np.arange(500) % 10)
    folder = write_cifar10_pickles(tmp_path, train, test)
    assert main(["cifar10", "--data-dir", str(folder), "--output", str(tmp_path / "out")]) == 0
    assert len(load_cifar("cifar10", "train", tmp_path / "out")) == 512
    assert len(load_cifar("cifar10", "test", tmp_path / "out")) == 500


@pytest.fixture
def hundred() -> tuple[Rows, Rows]:
    """Three training and two test images of each class; three are in both, one is under two labels."""
    train = (random_images(300, 2), np.arange(300) % 100)
    test = (random_images(200, 3), np.arange(200) % 100)
    test[0][:3] = train[0][:3]
    train[0][151] = train[0][50]
    return train, test


def test_sample_of_cifar100_takes_each_class_alike(
    hundred: tuple[Rows, Rows], tmp_path: Path
) -> None:
    folder = write_cifar100_pickles(tmp_path, *hundred)
    build_sample("cifar100", folder, tmp_path / "out", calibration=200, verification=100)
    taken = set()
    for split, (images, labels), count in zip(("train", "test"), hundred, (200, 100), strict=True):
        found = load_cifar("cifar100", split, tmp_path / "out")  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.labels, np.arange(count) % 100)
        original = dict(zip((image.tobytes() for image in images), labels.tolist(), strict=True))
        assert found.labels is not None
        pixels = [image.tobytes() for image in found.images]
        assert [original[each] for each in pixels] == found.labels.tolist()
        assert len(set(pixels)) == count
        taken.update(pixels)
    # Images of both splits would be calibrated and proven on.
    assert not taken & {image.tobytes() for image in hundred[0][0][[0, 1, 2, 50]]}


def test_sample_of_cifar100_is_the_same_from_every_order_of_rows(
    hundred: tuple[Rows, Rows], tmp_path: Path
) -> None:
    write_cifar100_pickles(tmp_path / "one", *hundred)
    (tmp_path / "other").mkdir()
    for split, (images, labels) in zip(("train", "test"), hundred, strict=True):
        order = np.random.default_rng(5).permutation(len(images))
        path = tmp_path / "other" / f"{split}-0.parquet"
        write_parquet(path, images[order], {"fine_label": labels[order]})
    for name in ("one", "other"):
        build_sample(
            "cifar100", tmp_path / name, tmp_path / f"{name}-out", calibration=130, verification=100
        )
    for file in (tmp_path / "one-out").iterdir():
        assert file.read_bytes() == (tmp_path / "other-out" / file.name).read_bytes()


def test_too_few_images_of_a_class_of_cifar100_are_refused(
    hundred: tuple[Rows, Rows], tmp_path: Path
) -> None:
    folder = write_cifar100_pickles(tmp_path, *hundred)
    with pytest.raises(InputError, match="too few images of class apple for a sample of 200"):
        build_sample("cifar100", folder, tmp_path / "out", calibration=100, verification=200)
