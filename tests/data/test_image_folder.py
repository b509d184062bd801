"""Tests of reading folders of images."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.cifar_layouts import encode, random_images
from vitsd_export.data.image_folder import find_image_files, find_split
from vitsd_export.errors import InputError


def write_images(folder: Path, names: list[str], *, seed: int = 0, size: int = 8) -> np.ndarray:
    """Writes random images under these names; returns their pixels, by sorted name."""
    folder.mkdir(parents=True, exist_ok=True)
    images = random_images(len(names), seed, size=size)
    for name, image in zip(sorted(names), images, strict=True):
        (folder / name).write_bytes(encode(image))
    return images


def test_flat_folder_has_no_labels(tmp_path: Path) -> None:
    images = write_images(tmp_path / "pictures", ["b.png", "a.PNG", "c.jpeg"])
    dataset = find_image_files(tmp_path / "pictures").read(8)
    np.testing.assert_array_equal(dataset.images, images)
    assert dataset.labels is None
    assert dataset.class_names == ()
    assert (dataset.name, dataset.split) == ("pictures", "unknown")
    assert dataset.source == str(tmp_path / "pictures")


def test_subfolders_are_classes_in_sorted_order(tmp_path: Path) -> None:
    dogs = write_images(tmp_path / "dog", ["1.png", "2.png"], seed=1)
    cats = write_images(tmp_path / "cat", ["1.png"], seed=2)
    (tmp_path / "bird").mkdir()
    dataset = find_image_files(tmp_path).read(8)
    np.testing.assert_array_equal(dataset.images, np.concatenate([cats, dogs]))
    assert dataset.class_names == ("bird", "cat", "dog")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 2, 2]
    assert dataset.labels.dtype == np.int64


def test_hidden_and_other_files_are_ignored(tmp_path: Path) -> None:
    write_images(tmp_path, ["a.png"])
    for name in (".hidden.png", "._a.png", "notes.txt", "Thumbs.db", "a.png.json"):
        (tmp_path / name).write_bytes(b"no image")
    for name in (".git", "__MACOSX"):
        write_images(tmp_path / name, ["x.png"])
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in find_image_files(tmp_path).paths] == ["a.png"]


def test_images_of_any_size_are_resized(tmp_path: Path) -> None:
    (tmp_path / "wide.png").write_bytes(encode(np.full((10, 50, 3), 7, np.uint8)))
    (tmp_path / "tall.png").write_bytes(encode(np.full((90, 20, 3), 9, np.uint8)))
    dataset = find_image_files(tmp_path).read(32)
    np.testing.assert_array_equal(dataset.images[0], np.full((32, 32, 3), 9))
    np.testing.assert_array_equal(dataset.images[1], np.full((32, 32, 3), 7))


def test_limit_takes_evenly_from_all_classes(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_images(tmp_path / name, [f"{index}.png" for index in range(4)])
    files = find_image_files(tmp_path)
    assert files.spread(6).labels == (0, 0, 1, 1, 2, 2)
    assert len(files.spread(100).paths) == 12


def test_sample_of_files_is_the_sample_of_images(tmp_path: Path) -> None:
    write_images(tmp_path, [f"{index}.png" for index in range(9)])
    files = find_image_files(tmp_path)
    assert files.sample(4, 3).read(8).sha256() == files.read(8).sample(4, 3).sha256()
    with pytest.raises(InputError, match="10 images were asked for, but there are 9"):
        files.sample(10, 0)


@pytest.mark.parametrize("content", [[], ["notes.txt", ".hidden.png"]])
def test_folder_without_images_is_refused(tmp_path: Path, content: list[str]) -> None:
    for name in content:
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no images") as caught:
        find_image_files(tmp_path).read(32)
    assert str(tmp_path) in str(caught.value)


def test_missing_folder_and_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no folder"):
        find_image_files(tmp_path / "nowhere").read(32)
    write_images(tmp_path, ["a.png"])
    with pytest.raises(InputError, match=r"a\.png is a file"):
        find_image_files(tmp_path / "a.png").read(32)


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    write_images(tmp_path, ["good.png"])
    (tmp_path / "cut.png").write_bytes(encode(random_images(1, 0)[0])[:200])
    (tmp_path / "text.jpg").write_bytes(b"hello")
    with pytest.raises(InputError, match="2 of the 3 images") as caught:
        find_image_files(tmp_path).read(8)
    assert "cut.png is truncated" in str(caught.value)
    assert "text.jpg is in none of the formats" in str(caught.value)
    assert "good.png" not in str(caught.value)


def test_many_unreadable_images_are_counted(tmp_path: Path) -> None:
    for index in range(8):
        (tmp_path / f"{index}.png").write_bytes(b"hello")
    with pytest.raises(InputError, match=r"8 of the 8 images .*4\.png .* And 3 more\.$"):
        find_image_files(tmp_path).read(8)


def test_images_that_do_not_fit_into_memory_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, ["a.png"])
    for size in (10**7, 10**12):
        with pytest.raises(InputError, match=f"1 images of {size}×{size} pixels .* do not fit"):
            find_image_files(tmp_path).read(size)


def test_images_beside_classes_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, ["a.png"])
    write_images(tmp_path / "cat", ["a.png"])
    with pytest.raises(InputError, match=r"both directly \(a\.png\) and in subfolders"):
        find_image_files(tmp_path).read(8)


@pytest.mark.parametrize("nested", ["", "cat"])
def test_splits_are_not_taken_for_classes(tmp_path: Path, nested: str) -> None:
    for split in ("test", "train"):
        write_images(tmp_path / split / nested, ["a.png"])
    with pytest.raises(InputError, match=r"\(test, train\) are splits, not classes"):
        find_image_files(tmp_path).read(8)
    assert find_split(tmp_path, "train") == tmp_path / "train"
    assert find_split(tmp_path, "val") is None


def test_class_named_train_is_no_split(tmp_path: Path) -> None:
    for name in ("tractor", "train"):
        write_images(tmp_path / name, ["a.png"])
    assert find_split(tmp_path, "train") is None
    assert find_image_files(tmp_path).class_names == ("tractor", "train")
