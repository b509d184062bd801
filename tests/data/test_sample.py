"""Tests of the bundled samples."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from vitsd_export.data.cifar import load_cifar
from vitsd_export.data.labels import (
    CIFAR10_CLASSES,
    CIFAR100_COARSE_CLASSES,
    CIFAR100_FINE_CLASSES,
    default_labels,
)
from vitsd_export.data.original_reader import parse_batch
from vitsd_export.data.originals import CLASSES, TRAIN_BATCHES, CifarName
from vitsd_export.data.sample import choose_images, load_sample

SHARED = Path(__file__).parents[2] / "../shared/data"
ORIGINAL = SHARED / "cifar-10-batches-py"
NAMES: tuple[CifarName, ...] = ("cifar10", "cifar100")


def folder(name: CifarName) -> Path:
    return Path(str(resources.files("vitsd_export.data") / f"{name}_sample"))


def label_counts(labels: np.ndarray | None, classes: int) -> np.ndarray:
    assert labels is not None
    return np.bincount(labels, minlength=classes)


@pytest.mark.parametrize(("name", "count"), [("cifar10", 512), ("cifar100", 1000)])
def test_calibration_part_is_balanced_in_every_prefix(name: CifarName, count: int) -> None:
    dataset = load_sample("calibration", name)
    assert dataset.images.shape == (count, 32, 32, 3)
    assert (dataset.name, dataset.split) == (name, "train")
    assert dataset.class_names == CLASSES[name]
    assert dataset.labels is not None
    for length in (10, 100, 256, count):
        counts = label_counts(dataset.labels[:length], len(CLASSES[name]))
        assert np.ptp(counts) <= 1


@pytest.mark.parametrize(("name", "fewest"), [("cifar10", 40), ("cifar100", 5)])
def test_verification_part_holds_500_test_images_of_all_classes(
    name: CifarName, fewest: int
) -> None:
    dataset = load_sample("verification", name)
    assert dataset.images.shape == (500, 32, 32, 3)
    assert (dataset.name, dataset.split) == (name, "test")
    assert label_counts(dataset.labels, len(CLASSES[name])).min() == fewest


def test_no_image_is_there_twice() -> None:
    parts = [load_sample(part, name) for part in ("calibration", "verification") for name in NAMES]
    images = [image.tobytes() for part in parts for image in part.images]
    assert len(set(images)) == len(images) == 2512


def test_verification_part_of_cifar10_is_lossless() -> None:
    if not ORIGINAL.is_dir():
        pytest.skip("the original pickles are not here")
    original = load_cifar("cifar10", "test", ORIGINAL)
    sample = load_sample("verification")
    np.testing.assert_array_equal(sample.images, original.images[:500])
    np.testing.assert_array_equal(sample.labels, original.subset(range(500)).labels)


def test_calibration_part_of_cifar10_is_lossless_and_even_over_the_batches() -> None:
    if not ORIGINAL.is_dir():
        pytest.skip("the original pickles are not here")
    origin = {}
    for name in TRAIN_BATCHES:
        images, labels = parse_batch((ORIGINAL / name).read_bytes(), name, "cifar10")
        for image, label in zip(images, labels.tolist(), strict=True):
            origin[image.tobytes()] = (name, label)
    sample = load_sample("calibration")
    assert sample.labels is not None
    found = [origin[image.tobytes()] for image in sample.images]
    assert [label for _, label in found] == sample.labels.tolist()
    batches = [name for name, _ in found]
    assert {batches.count(name) for name in TRAIN_BATCHES} <= {102, 103}


@pytest.mark.slow
@pytest.mark.parametrize("part", ["calibration", "verification"])
def test_sample_of_cifar100_is_lossless(part: str) -> None:
    if not (SHARED / "cifar100").is_dir():
        pytest.skip("CIFAR-100 is not here")
    sample = load_sample(part, "cifar100")  # type: ignore[arg-type]
    original = load_cifar("cifar100", sample.split, SHARED / "cifar100")  # type: ignore[arg-type]
    assert original.labels is not None
    assert sample.labels is not None
    pixels = [image.tobytes() for image in original.images]
    known = set(zip(pixels, original.labels.tolist(), strict=True))
    images = [image.tobytes() for image in sample.images]
    assert known.issuperset(zip(images, sample.labels.tolist(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_sample_is_an_ordinary_cifar_folder(name: CifarName) -> None:
    for split, part in (("train", "calibration"), ("test", "verification")):
        read = load_cifar(name, split, folder(name))  # type: ignore[arg-type]
        assert read.sha256() == load_sample(part, name).sha256()  # type: ignore[arg-type]


def test_samples_are_smaller_than_5_megabytes() -> None:
    sizes = [file.stat().st_size for name in NAMES for file in folder(name).iterdir()]
    assert len(sizes) == 4
    assert sum(sizes) < 5_000_000


def test_shared_arrays_cannot_be_changed_by_accident() -> None:
    dataset = load_sample("verification")
    assert load_sample("verification") is dataset
    with pytest.raises(ValueError, match="read-only"):
        dataset.images[0] = 0


@pytest.mark.parametrize(
    ("class_names", "expected"),
    [
        (CIFAR10_CLASSES, "cifar10-sample"),
        (list(CIFAR100_FINE_CLASSES), "cifar100-sample"),
        (default_labels(10), "cifar10-sample"),
        (CIFAR10_CLASSES[::-1], "cifar100-sample"),
        (CIFAR100_COARSE_CLASSES, "cifar100-sample"),
        (("cat", "dog"), "cifar100-sample"),
        ((), "cifar100-sample"),
    ],
)
def test_the_sample_of_the_models_classes_is_chosen(
    class_names: tuple[str, ...], expected: str
) -> None:
    assert choose_images("sample", class_names) == expected
    for named in ("cifar10", "cifar10-sample", "cifar100-sample", "some/folder"):
        assert choose_images(named, class_names) == named
