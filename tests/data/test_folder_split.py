"""Tests of image folders to train with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support.cifar_layouts import encode, random_images
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.folder_split import load_folder_split
from vitsd_export.data.originals import Split
from vitsd_export.errors import InputError, UsageError


def write_class(folder: Path, count: int, *, seed: int = 0, first: int = 0) -> np.ndarray:
    """Writes random images of 8 by 8 pixels; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    images = random_images(count, seed, size=8)
    for index, image in enumerate(images):
        (folder / f"{first + index:03d}.png").write_bytes(encode(image))
    return images


def pixels_of(path: Path) -> bytes:
    """The pixels of an image file."""
    with Image.open(path) as image:
        return np.asarray(image).tobytes()


def load(path: Path, split: Split, **options: Any) -> ImageDataset:
    chosen = {"validation_fraction": 0.25, "seed": 3, "on_skipped": lambda _: None, **options}
    return load_folder_split(path, split, 8, **chosen)


def counts(dataset: ImageDataset) -> list[int]:
    assert dataset.labels is not None
    return np.bincount(dataset.labels, minlength=len(dataset.class_names)).tolist()


def image_keys(*parts: ImageDataset) -> list[bytes]:
    return [image.tobytes() for part in parts for image in part.images]


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """40 cats, 20 dogs and 2 eels."""
    for seed, (name, count) in enumerate({"cat": 40, "dog": 20, "eel": 2}.items()):
        write_class(tmp_path / "pets" / name, count, seed=seed)
    return tmp_path / "pets"


def test_part_of_each_class_is_held_out(pets: Path) -> None:
    train, test = load(pets, "train"), load(pets, "test")
    assert counts(train) == [30, 15, 1]
    assert counts(test) == [10, 5, 1]
    assert train.class_names == test.class_names == ("cat", "dog", "eel")
    assert (train.name, train.split, train.source) == ("pets", "train", str(pets))
    assert (test.name, test.split) == ("pets", "test")
    keys = image_keys(train, test)
    assert len(set(keys)) == len(keys) == 62


def test_labels_are_those_of_the_subfolders(tmp_path: Path) -> None:
    images = {name: write_class(tmp_path / name, 6, seed=len(name)) for name in ("a", "bb", "ccc")}
    for split in ("train", "test"):
        dataset = load(tmp_path, split)  # type: ignore[arg-type]
        assert dataset.labels is not None
        for image, label in zip(dataset.images, dataset.labels.tolist(), strict=True):
            own = images[dataset.class_names[label]]
            assert (own == image).all((1, 2, 3)).any()


def test_seed_alone_draws_the_split(pets: Path) -> None:
    assert load(pets, "test").sha256() == load(pets, "test").sha256()
    assert load(pets, "test", seed=4).sha256() != load(pets, "test").sha256()


def test_split_of_a_seed_is_fixed_for_ever(tmp_path: Path) -> None:
    # A resumed training must not meet images that were held out before.
    cats = write_class(tmp_path / "cat", 8, seed=1)
    dogs = write_class(tmp_path / "dog", 8, seed=2)
    held_out = load(tmp_path, "test", validation_fraction=0.5, seed=0).images
    np.testing.assert_array_equal(held_out[:4], cats[[1, 2, 6, 7]])
    np.testing.assert_array_equal(held_out[4:], dogs[[1, 3, 6, 7]])


@given(
    sizes=st.lists(st.integers(2, 9), min_size=2, max_size=3),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_splits_are_whole_and_disjoint(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], fraction: float, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("folder")
    for label, size in enumerate(sizes):
        write_class(folder / f"class{label}", size, seed=label)
    options = {"validation_fraction": fraction, "seed": seed}
    train, test = load(folder, "train", **options), load(folder, "test", **options)
    keys = image_keys(train, test)
    assert len(set(keys)) == len(keys) == sum(sizes)
    for size, held_out in zip(sizes, counts(test), strict=True):
        assert 1 <= held_out <= size - 1
        assert abs(held_out - fraction * size) <= 1


@pytest.mark.parametrize("name", ["test", "val", "valid", "validation"])
def test_folders_of_splits_are_taken(tmp_path: Path, name: str) -> None:
    expected = {}
    for seed, part in enumerate(("train", name)):
        cats = write_class(tmp_path / part / "cat", 3 + seed, seed=seed)
        dogs = write_class(tmp_path / part / "dog", 2, seed=seed + 10)
        expected[part] = np.concatenate([cats, dogs])
    train, test = load(tmp_path, "train"), load(tmp_path, "test")
    np.testing.assert_array_equal(train.images, expected["train"])
    np.testing.assert_array_equal(test.images, expected[name])
    assert (counts(train), counts(test)) == ([3, 2], [4, 2])
    assert train.class_names == test.class_names == ("cat", "dog")
    assert train.name == test.name == tmp_path.name
    assert (train.split, test.split) == ("train", "test")
    assert test.source == str(tmp_path / name)


def test_test_goes_before_validation(tmp_path: Path) -> None:
    for count, split in ((2, "train"), (3, "test"), (4, "val")):
        for name in ("cat", "dog"):
            write_class(tmp_path / split / name, count)
    assert counts(load(tmp_path, "test")) == [3, 3]
    (tmp_path / "extras").mkdir()
    assert counts(load(tmp_path, "test")) == [3, 3]


def test_classes_may_be_named_as_splits(tmp_path: Path) -> None:
    for name in ("test", "tractor", "train"):
        write_class(tmp_path / name, 4)
    assert load(tmp_path, "train").class_names == ("test", "tractor", "train")
    assert counts(load(tmp_path, "train")) == [3, 3, 3]


def test_splits_with_different_classes_are_refused(tmp_path: Path) -> None:
    for path in ("train/cat", "train/dog", "train/eel", "val/dog", "val/cow"):
        write_class(tmp_path / path, 2)
    for split in ("train", "test"):
        with pytest.raises(InputError, match="different classes") as caught:
            load(tmp_path, split)  # type: ignore[arg-type]
        assert f"{tmp_path / 'train'} alone has cat, eel" in str(caught.value)
        assert f"{tmp_path / 'val'} alone has cow" in str(caught.value)


@pytest.mark.parametrize("held", ["train", "val"])
def test_split_without_the_other_is_refused(tmp_path: Path, held: str) -> None:
    for name in ("cat", "dog"):
        write_class(tmp_path / held / name, 4)
    missing = "test, val, valid or validation" if held == "train" else "train"
    with pytest.raises(InputError, match=f"has the split {held} but no {missing}. .*/{held} "):
        load(tmp_path, "train")
    # As the message advises.
    assert counts(load(tmp_path / held, "train")) == [3, 3]


@pytest.mark.parametrize("nested", ["", "train"])
def test_images_without_classes_are_refused(tmp_path: Path, nested: str) -> None:
    write_class(tmp_path / nested, 4)
    if nested:
        write_class(tmp_path / "test" / "cat", 2)
    with pytest.raises(InputError, match="no subfolders that tell their classes"):
        load(tmp_path, "test")


@pytest.mark.parametrize("prefixes", [("",), ("train", "test")])
def test_one_class_only_is_refused(tmp_path: Path, prefixes: Sequence[str]) -> None:
    for prefix in prefixes:
        write_class(tmp_path / prefix / "cat", 4)
    with pytest.raises(InputError, match="has only one class, cat"):
        load(tmp_path, "train")


@pytest.mark.parametrize("split", ["train", "test"])
def test_empty_class_is_named(tmp_path: Path, split: Split) -> None:
    for path in ("train/cat", "train/dog", "test/dog"):
        write_class(tmp_path / path, 2)
    (tmp_path / "test" / "cat").mkdir()
    with pytest.raises(InputError, match=r"test/cat has no images\. Add"):
        load(tmp_path, split)
    (tmp_path / "train" / "eel").mkdir()
    (tmp_path / "train" / "ape").mkdir()
    with pytest.raises(InputError, match="train/ape has no images; the same holds for eel"):
        load(tmp_path / "train", split)


def test_class_of_one_image_is_named(tmp_path: Path) -> None:
    write_class(tmp_path / "cat", 4)
    write_class(tmp_path / "dog", 1)
    with pytest.raises(InputError, match="dog has only one image"):
        load(tmp_path, "train")


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no folder"):
        load(tmp_path / "nowhere", "train")
    with pytest.raises(InputError, match="has no images"):
        load(tmp_path, "train")


def test_unreadable_images_are_left_out_and_reported(pets: Path) -> None:
    whole = {split: load(pets, split) for split in ("train", "test")}  # type: ignore[arg-type]
    (pets / "cat" / "007.png").write_bytes(b"hello")
    reports: dict[str, list[str]] = {"train": [], "test": []}
    for split in ("train", "test"):
        dataset = load(pets, split, on_skipped=reports[split].append)  # type: ignore[arg-type]
        assert len(dataset) == len(whole[split]) - len(reports[split])
        # No other image changes its split.
        assert set(image_keys(dataset)) <= set(image_keys(whole[split]))
    (report,) = [*reports["train"], *reports["test"]]
    total = len(whole["train" if reports["train"] else "test"])
    assert report.startswith(f"Left out: 1 of the {total} images in {pets} cannot be used.")
    assert "007.png is in none of the formats" in report


def test_labels_stay_with_their_images_when_some_are_left_out(tmp_path: Path) -> None:
    for split in ("train", "test"):
        cats = write_class(tmp_path / split / "cat", 30, seed=1)
        dogs = write_class(tmp_path / split / "dog", 30, seed=2)
    (tmp_path / "train" / "cat" / "004.png").write_bytes(encode(cats[4])[:60])
    (tmp_path / "train" / "dog" / "029.png").write_bytes(b"")
    dataset = load(tmp_path, "train")
    np.testing.assert_array_equal(
        dataset.images, np.concatenate([np.delete(cats, 4, 0), dogs[:29]])
    )
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0] * 29 + [1] * 29


def test_more_than_5_percent_unreadable_are_refused(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            write_class(tmp_path / split / name, 20)
    reports: list[str] = []
    for count in (1, 2):
        (tmp_path / "train" / "dog" / f"{count:03d}.png").write_bytes(b"hello")
        assert len(load(tmp_path, "train", on_skipped=reports.append)) == 40 - count
    assert [report[:28] for report in reports] == [
        f"Left out: {n} of the 40 images" for n in (1, 2)
    ]
    (tmp_path / "train" / "cat" / "000.png").write_bytes(b"hello")
    with pytest.raises(
        InputError, match=r"3 of the 40 images .* More than 5% is too many"
    ) as caught:
        load(tmp_path, "train", on_skipped=reports.append)
    for name in ("cat/000.png", "dog/001.png", "dog/002.png"):
        assert name in str(caught.value)
    assert len(reports) == 2
    assert len(load(tmp_path, "test")) == 40


def test_unreadable_images_are_counted_in_the_whole_folder(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_class(tmp_path / name, 20, seed=len(name) + ord(name[0]))
    options = {"validation_fraction": 0.1}
    whole = load(tmp_path, "test", **options)
    held_out = {
        path
        for path in tmp_path.glob("*/*.png")
        if pixels_of(path) in {image.tobytes() for image in whole.images}
    }
    assert len(held_out) == 4
    # One of the 4 that are held out is a quarter of them, and a fortieth of the folder.
    first = min(held_out)
    first.write_bytes(b"hello")
    reports: list[str] = []
    assert len(load(tmp_path, "test", on_skipped=reports.append, **options)) == 3
    (report,) = reports
    assert report.startswith("Left out: 1 of the 4 images")
    # Three of the folder's 40 are too many, wherever they lie.
    for path in sorted(set(tmp_path.glob("cat/*.png")) - held_out)[:2]:
        path.write_bytes(b"hello")
    with pytest.raises(InputError, match=r"3 of the 40 images .* More than 5%") as caught:
        load(tmp_path, "test", **options)
    assert first.name in str(caught.value)


def test_class_without_a_readable_image_is_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_class(tmp_path / split / "cat", 24)
        write_class(tmp_path / split / "dog", 1)
    (tmp_path / "test" / "dog" / "000.png").write_bytes(b"hello")
    with pytest.raises(InputError, match="test/dog has no readable image"):
        load(tmp_path, "test")


def test_size_out_of_range_is_a_usage_error(pets: Path) -> None:
    with pytest.raises(UsageError, match="resized to 0 pixels"):
        load_folder_split(pets, "train", 0, validation_fraction=0.5, seed=0, on_skipped=print)
