"""Data sets that the command line names."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from tests.support.cifar_layouts import write_cifar10_binary, write_cifar10_pickles, write_parquet
from training.datasets import dataset_name, load_split
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import InputError, UsageError


def nothing_is_told(message: str) -> None:
    raise AssertionError(message)


def load_both(
    data: str,
    data_dir: Path | None,
    *,
    size: int,
    seed: int,
    tell: Callable[[str], None] = nothing_is_told,
) -> tuple[ImageDataset, ImageDataset]:
    train = load_split(data, data_dir, "train", size=size, seed=seed, tell=tell)
    return train, load_split(data, data_dir, "test", size=size, seed=seed, tell=tell)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Twenty pictures each of two classes, told apart by their red."""
    folder = tmp_path / "pets"
    rng = np.random.default_rng(0)
    for red, kind in ((0, "cat"), (255, "dog")):
        (folder / kind).mkdir(parents=True)
        for index in range(20):
            pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            pixels[..., 0] = red
            Image.fromarray(pixels).save(folder / kind / f"{index}.png")
    return folder


def test_a_folder_is_split_and_labelled_by_its_subfolders(pets: Path) -> None:
    train, test = load_both(f"folder:{pets}", None, size=16, seed=3)
    assert (len(train), len(test)) == (36, 4)
    for data in (train, test):
        assert data.class_names == ("cat", "dog")
        assert data.images.shape[1:] == (16, 16, 3)
        np.testing.assert_array_equal(data.labels, data.images[:, 0, 0, 0] > 127)
    seen = {image.tobytes() for image in train.images}
    assert not seen & {image.tobytes() for image in test.images}


def test_images_that_cannot_be_read_are_told(pets: Path) -> None:
    for index in range(20, 60):
        Image.new("RGB", (8, 8), (0, index, 0)).save(pets / "cat" / f"{index}.png")
    (pets / "cat" / "broken.png").write_bytes(b"no picture")
    told: list[str] = []
    train, test = load_both(f"folder:{pets}", None, size=16, seed=3, tell=told.append)
    assert len(train) + len(test) == 80
    (message,) = told
    assert message.startswith("Left out: 1 of the ")
    assert "broken.png" in message


def test_cifar_comes_from_its_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
        images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        return images, np.arange(count) % 10

    folder = write_cifar10_pickles(tmp_path, rows(50), rows(10))
    train, test = load_both("cifar10", folder, size=32, seed=0)
    assert (len(train), len(test)) == (50, 10)
    assert (train.split, test.split) == ("train", "test")


def test_cifar_comes_in_the_size_of_the_model(tmp_path: Path) -> None:
    red = np.zeros((20, 32, 32, 3), np.uint8)
    red[..., 0] = 200
    rows = (red, np.arange(20) % 10)
    folder = write_cifar10_pickles(tmp_path, rows, rows)
    data = load_split("cifar10", folder, "test", size=48, seed=0, tell=nothing_is_told)
    assert data.images.shape == (20, 48, 48, 3)
    assert (data.images == [200, 0, 0]).all()


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_split_is_that_of_both(split: Literal["train", "test"], pets: Path) -> None:
    both = load_both(f"folder:{pets}", None, size=16, seed=3)
    one = load_split(f"folder:{pets}", None, split, size=16, seed=3, tell=nothing_is_told)
    assert one.sha256() == both[split == "test"].sha256()
    assert one.split == split


def test_no_images_are_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "notes.txt").write_text("no picture")
    with pytest.raises(InputError, match="has no images"):
        load_both(f"folder:{tmp_path}", None, size=16, seed=0)


def test_more_than_5_percent_that_cannot_be_read_are_refused(pets: Path) -> None:
    for name in ("cat", "dog"):
        for index in range(2):
            (pets / name / f"{index}.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"of the \d+ images .* More than 5%") as caught:
        load_both(f"folder:{pets}", None, size=16, seed=3, tell=lambda _: None)
    assert "cat/0.png" in str(caught.value) or "cat/1.png" in str(caught.value)


@pytest.mark.parametrize("label", [10, 255, -1])
@pytest.mark.parametrize("layout", ["pickles", "parquet", "binary"])
def test_labels_out_of_range_are_refused(layout: str, label: int, tmp_path: Path) -> None:
    images = np.zeros((10, 32, 32, 3), np.uint8)
    good, bad = np.arange(10), np.array([*range(9), label])
    if layout == "parquet":
        for split, labels in (("train", good), ("test", bad)):
            write_parquet(
                tmp_path / f"{split}-00000-of-00001.parquet",
                images,
                {"label": labels},
                noted_classes=10,
            )
    elif layout == "pickles":
        write_cifar10_pickles(tmp_path, (images, good), (images, bad))
    else:
        # A byte has no -1: it is 255.
        write_cifar10_binary(tmp_path, (images, good), (images, bad % 256))
    with pytest.raises(InputError, match="label"):
        load_both("cifar10", tmp_path, size=32, seed=0)


@pytest.mark.parametrize("data", ["cifar11", "folder:", "", "Folder:x"])
def test_an_unknown_data_set_is_refused(data: str) -> None:
    with pytest.raises(UsageError, match="cifar10, cifar100 or folder:PATH"):
        load_both(data, None, size=32, seed=0)


def test_a_folder_needs_no_data_dir(pets: Path) -> None:
    with pytest.raises(UsageError, match="--data-dir"):
        load_both(f"folder:{pets}", pets, size=32, seed=0)


def test_one_class_is_no_data_set(pets: Path) -> None:
    shutil.rmtree(pets / "dog")
    with pytest.raises(InputError, match="class"):
        load_both(f"folder:{pets}", None, size=32, seed=0)


def test_names(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dataset_name("cifar100") == "cifar100"
    assert dataset_name(f"folder:{pets}") == "pets"
    monkeypatch.chdir(pets)
    assert dataset_name("folder:.") == "pets"
