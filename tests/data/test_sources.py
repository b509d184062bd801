"""Tests of loading images by what the user names."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.cifar_layouts import (
    Rows,
    encode,
    pack,
    random_images,
    write_cifar10_pickles,
    write_cifar100_pickles,
    write_parquet,
)
from vitsd_export.data.sample import load_sample
from vitsd_export.data.sources import load_images
from vitsd_export.errors import InputError, UsageError


def write_images(folder: Path, count: int, *, seed: int = 0) -> np.ndarray:
    folder.mkdir(parents=True)
    images = random_images(count, seed, size=8)
    for index, image in enumerate(images):
        (folder / f"{index:03d}.png").write_bytes(encode(image))
    return images


def test_sample_is_loaded_by_split() -> None:
    train = load_images("cifar10-sample", split="train", size=32)
    assert train.sha256() == load_sample("calibration").sha256()
    test = load_images("cifar100-sample", split="test", size=32, count=20, seed=4)
    assert test.sha256() == load_sample("verification", "cifar100").sample(20, 4).sha256()


def test_sample_of_unknown_classes_is_the_more_varied_one() -> None:
    dataset = load_images("sample", split="test", size=32)
    assert dataset.sha256() == load_sample("verification", "cifar100").sha256()


def test_images_are_resized_to_the_size_asked_for() -> None:
    dataset = load_images("cifar10-sample", split="test", size=48, count=3)
    assert dataset.images.shape == (3, 48, 48, 3)
    assert dataset.labels is not None
    small = load_images("cifar10-sample", split="test", size=32, count=3)
    np.testing.assert_array_equal(dataset.labels, small.labels)
    np.testing.assert_allclose(dataset.images.mean((1, 2)), small.images.mean((1, 2)), atol=2)


def test_cifar_is_loaded_by_name_from_the_data_folder(
    tmp_path: Path, cifar10_rows: dict[str, Rows], cifar100_rows: dict[str, Rows]
) -> None:
    write_cifar10_pickles(tmp_path, *cifar10_rows.values())
    write_cifar100_pickles(tmp_path, *cifar100_rows.values())
    ten = load_images("cifar10", split="test", size=32, data_dir=tmp_path)
    np.testing.assert_array_equal(ten.images, cifar10_rows["test"][0])
    hundred = load_images("cifar100", split="train", size=32, data_dir=str(tmp_path))
    np.testing.assert_array_equal(hundred.labels, cifar100_rows["train"][1])
    with pytest.raises(UsageError, match="holds both cifar10 and cifar100"):
        load_images(str(tmp_path), split="test", size=32)


def test_cifar_is_loaded_by_name_from_the_keras_cache(
    keras_datasets: Path, cifar10_rows: dict[str, Rows]
) -> None:
    write_cifar10_pickles(keras_datasets, *cifar10_rows.values())
    assert len(load_images("cifar10", split="train", size=32)) == 13


@pytest.mark.parametrize("layout", ["pickles", "parquet"])
def test_cifar_folder_is_detected(
    tmp_path: Path, cifar10_rows: dict[str, Rows], layout: str
) -> None:
    if layout == "pickles":
        write_cifar10_pickles(tmp_path, *cifar10_rows.values())
    else:
        for split, (images, labels) in cifar10_rows.items():
            write_parquet(tmp_path / f"{split}-0.parquet", images, {"label": labels})
    dataset = load_images(str(tmp_path), split="test", size=32)
    assert (dataset.name, dataset.split) == ("cifar10", "test")
    np.testing.assert_array_equal(dataset.images, cifar10_rows["test"][0])


def test_tarball_of_cifar_is_loaded_by_its_path(
    tmp_path: Path, cifar10_rows: dict[str, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_cifar10_pickles(tmp_path / "unpacked", *cifar10_rows.values())
    tarball = pack(folder, tmp_path / "cifar-10-python.tar.gz")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for source in (str(tarball), f"~/{tarball.name}"):
        dataset = load_images(source, split="test", size=32)
        np.testing.assert_array_equal(dataset.images, cifar10_rows["test"][0])
        assert dataset.source == str(tarball)
    by_name = load_images("cifar10", split="train", size=32, data_dir=tarball)
    np.testing.assert_array_equal(by_name.images, cifar10_rows["train"][0])


def test_tarball_of_both_data_sets_wants_a_name(
    tmp_path: Path, cifar10_rows: dict[str, Rows], cifar100_rows: dict[str, Rows]
) -> None:
    write_cifar10_pickles(tmp_path / "both", *cifar10_rows.values())
    write_cifar100_pickles(tmp_path / "both", *cifar100_rows.values())
    tarball = pack(tmp_path / "both", tmp_path / "both.tar.gz")
    with pytest.raises(UsageError, match="holds both cifar10 and cifar100"):
        load_images(str(tarball), split="test", size=32)
    assert len(load_images("cifar10", split="test", size=32, data_dir=tarball)) == 6
    assert len(load_images("cifar100", split="test", size=32, data_dir=tarball)) == 5


def test_tarball_of_other_images_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "pictures" / "cat", 2)
    tarball = pack(tmp_path / "pictures", tmp_path / "pictures.tar.gz")
    with pytest.raises(InputError, match=r"pictures\.tar\.gz is a tarball without CIFAR"):
        load_images(str(tarball), split="test", size=32)


def test_image_folder_is_loaded_and_sampled_before_reading(tmp_path: Path) -> None:
    images = write_images(tmp_path / "pictures", 12)
    whole = load_images(str(tmp_path / "pictures"), split="train", size=8)
    np.testing.assert_array_equal(whole.images, images)
    assert whole.labels is None
    assert whole.split == "unknown"
    chosen = load_images(str(tmp_path / "pictures"), split="train", size=8, count=5, seed=9)
    assert chosen.sha256() == whole.sample(5, 9).sha256()

    unused = set(range(12)) - {
        index
        for index, image in enumerate(images)
        if any((image == taken).all() for taken in chosen.images)
    }
    for index in unused:
        (tmp_path / "pictures" / f"{index:03d}.png").write_bytes(b"damaged")
    again = load_images(str(tmp_path / "pictures"), split="train", size=8, count=5, seed=9)
    assert again.sha256() == chosen.sha256()


def test_split_of_an_image_folder_is_taken(tmp_path: Path) -> None:
    write_images(tmp_path / "train" / "cat", 2)
    test = write_images(tmp_path / "test" / "cat", 3, seed=1)
    dataset = load_images(str(tmp_path), split="test", size=8)
    np.testing.assert_array_equal(dataset.images, test)
    assert dataset.split == "test"
    assert dataset.class_names == ("cat",)


def test_missing_split_of_an_image_folder_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "test" / "cat", 3)
    with pytest.raises(InputError, match=r"\(test\) are splits, not classes"):
        load_images(str(tmp_path), split="train", size=8)


@pytest.mark.parametrize("count", [None, 1])
def test_folder_without_images_is_refused(tmp_path: Path, count: int | None) -> None:
    with pytest.raises(InputError, match="has no images"):
        load_images(str(tmp_path), split="train", size=32, count=count)
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match="has no images"):
        load_images(str(tmp_path), split="train", size=32, count=count)


def test_file_and_missing_path_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(random_images(1, 0)[0]))
    with pytest.raises(InputError, match=r"a\.png is a file"):
        load_images(str(tmp_path / "a.png"), split="train", size=32)
    with pytest.raises(InputError, match="There is no folder imagenet"):
        load_images("imagenet", split="train", size=32)


def test_more_images_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match="513 images were asked for, but there are 512"):
        load_images("cifar10-sample", split="train", size=32, count=513)


@pytest.mark.parametrize("source", ["sample", "pictures"])
def test_data_folder_without_cifar_is_a_usage_error(tmp_path: Path, source: str) -> None:
    with pytest.raises(UsageError, match="goes with cifar10 or cifar100"):
        load_images(source, split="train", size=32, data_dir=tmp_path)


def test_unknown_split_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="validation"):
        load_images("sample", split="validation", size=32)  # type: ignore[arg-type]
