"""Tests of the bundled sample."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from vitsd_export.data.cifar import load_cifar
from vitsd_export.data.labels import CIFAR10_CLASSES
from vitsd_export.data.originals import TRAIN_BATCHES
from vitsd_export.data.pickles import read_batch
from vitsd_export.data.sample import SAMPLE_FOLDER, load_sample
from vitsd_export.errors import UsageError

ORIGINAL = Path(__file__).parents[2] / "../shared/data/cifar-10-batches-py"
FOLDER = Path(str(resources.files("vitsd_export.data") / SAMPLE_FOLDER))


def label_counts(labels: np.ndarray | None) -> np.ndarray:
    assert labels is not None
    return np.bincount(labels, minlength=10)


def test_calibration_part_is_balanced_in_every_prefix() -> None:
    dataset = load_sample("calibration")
    assert len(dataset) == 512
    assert dataset.images.shape == (512, 32, 32, 3)
    assert (dataset.name, dataset.split) == ("cifar10", "train")
    assert dataset.class_names == CIFAR10_CLASSES
    assert dataset.labels is not None
    for count in (10, 100, 256, 512):
        assert np.ptp(label_counts(dataset.labels[:count])) <= 1


def test_verification_part_holds_500_test_images_of_all_classes() -> None:
    dataset = load_sample("verification")
    assert dataset.images.shape == (500, 32, 32, 3)
    assert (dataset.name, dataset.split) == ("cifar10", "test")
    assert label_counts(dataset.labels).min() >= 40


def test_parts_have_no_image_in_common_and_none_twice() -> None:
    parts = [load_sample("calibration"), load_sample("verification")]
    images = [image.tobytes() for part in parts for image in part.images]
    assert len(set(images)) == len(images)


def test_verification_part_is_lossless() -> None:
    if not ORIGINAL.is_dir():
        pytest.skip("the original pickles are not here")
    original = load_cifar("cifar10", "test", ORIGINAL)
    sample = load_sample("verification")
    np.testing.assert_array_equal(sample.images, original.images[:500])
    np.testing.assert_array_equal(sample.labels, original.subset(range(500)).labels)


def test_calibration_part_is_lossless_and_even_over_the_batches() -> None:
    if not ORIGINAL.is_dir():
        pytest.skip("the original pickles are not here")
    origin = {}
    for name in TRAIN_BATCHES:
        images, labels = read_batch(ORIGINAL / name, "labels", 10)
        for image, label in zip(images, labels.tolist(), strict=True):
            origin[image.tobytes()] = (name, label)
    sample = load_sample("calibration")
    assert sample.labels is not None
    found = [origin[image.tobytes()] for image in sample.images]
    assert [label for _, label in found] == sample.labels.tolist()
    batches = [name for name, _ in found]
    assert {batches.count(name) for name in TRAIN_BATCHES} <= {102, 103}


def test_sample_is_an_ordinary_cifar_folder() -> None:
    for split, part in (("train", "calibration"), ("test", "verification")):
        read = load_cifar("cifar10", split, FOLDER)  # type: ignore[arg-type]
        assert read.sha256() == load_sample(part).sha256()  # type: ignore[arg-type]


def test_sample_is_smaller_than_5_megabytes() -> None:
    sizes = [file.stat().st_size for file in FOLDER.iterdir()]
    assert 0 < sum(sizes) < 5_000_000


def test_shared_arrays_cannot_be_changed_by_accident() -> None:
    dataset = load_sample("verification")
    assert load_sample("verification") is dataset
    with pytest.raises(ValueError, match="read-only"):
        dataset.images[0] = 0


def test_unknown_part_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="training"):
        load_sample("training")  # type: ignore[arg-type]
