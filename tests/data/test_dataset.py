"""Tests of the in-memory data set."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cifar_layouts import random_images
from vitsd_export.data.dataset import ImageDataset, sample_indices
from vitsd_export.errors import InputError, UsageError


def make_dataset(count: int = 6, **changes: Any) -> ImageDataset:
    values: dict[str, Any] = {
        "images": random_images(count, 0, size=4),
        "labels": np.arange(count) % 3,
        "class_names": ("a", "b", "c"),
        "name": "letters",
        "split": "test",
        "source": "memory",
    }
    return ImageDataset(**{**values, **changes})


def test_dataset_has_the_length_of_its_images() -> None:
    assert len(make_dataset(6)) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((6, 4, 4, 3), np.float32)}, "float32"),
        ({"images": np.zeros((4, 4, 3), np.uint8)}, r"\[4, 4, 3\]"),
        ({"images": np.zeros((6, 4, 4, 1), np.uint8)}, r"\[6, 4, 4, 1\]"),
        ({"labels": np.zeros(6, np.int32)}, "int32"),
        ({"labels": np.zeros(5, np.int64)}, r"int64 \[5\]"),
        ({"labels": np.zeros((6, 1), np.int64)}, r"\[6, 1\]"),
        ({"labels": np.array([0, 1, 2, 3, 0, 1])}, "0 to 3"),
        ({"labels": np.array([0, 1, 2, -1, 0, 1])}, "-1 to 2"),
        ({"split": "validation"}, "validation"),
    ],
)
def test_dataset_refuses_inconsistent_fields(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_dataset(**changes)


def test_dataset_without_labels_is_allowed() -> None:
    dataset = make_dataset(labels=None, class_names=())
    assert dataset.subset([1]).labels is None
    assert dataset.sample(2, 0).labels is None


def test_subset_keeps_the_order_and_the_pairs() -> None:
    dataset = make_dataset()
    chosen = dataset.subset([4, 0, 4])
    np.testing.assert_array_equal(chosen.images, dataset.images[[4, 0, 4]])
    np.testing.assert_array_equal(chosen.labels, [1, 0, 1])
    assert (chosen.name, chosen.split, chosen.source) == ("letters", "test", "memory")


@given(available=st.integers(1, 300), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_sample_indices_are_different_and_in_range(
    available: int, seed: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, available))
    chosen = sample_indices(available, count, seed, source="memory")
    assert len(set(chosen.tolist())) == count
    assert chosen.min() >= 0
    assert chosen.max() < available
    again = sample_indices(available, count, seed, source="memory")
    np.testing.assert_array_equal(chosen, again)


def test_sample_is_the_same_on_every_numpy_version() -> None:
    assert sample_indices(10, 5, 42, source="memory").tolist() == [8, 1, 5, 0, 7]


def test_sample_depends_on_the_seed() -> None:
    dataset = make_dataset(60)
    assert dataset.sample(30, 0).sha256() != dataset.sample(30, 1).sha256()


def test_sample_fails_on_more_than_there_are() -> None:
    with pytest.raises(InputError, match="7 images were asked for, but there are 6"):
        make_dataset(6).sample(7, 0)


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (-1, 0), (1, -1), (1, 2**32)])
def test_sample_fails_on_senseless_options(count: int, seed: int) -> None:
    with pytest.raises(UsageError):
        make_dataset().sample(count, seed)


def test_sha256_tells_pixels_labels_and_shape_apart() -> None:
    dataset = make_dataset()
    pixels = dataset.images.copy()
    pixels[3, 2, 1, 0] ^= 1
    variants = [
        dataset,
        dataclasses.replace(dataset, images=pixels),
        dataclasses.replace(dataset, labels=(np.arange(6) + 1) % 3),
        dataclasses.replace(dataset, labels=None),
        dataclasses.replace(dataset, images=dataset.images.reshape(6, 2, 8, 3)),
    ]
    assert len({variant.sha256() for variant in variants}) == len(variants)


def test_sha256_does_not_depend_on_the_memory_layout() -> None:
    dataset = make_dataset()
    fortran = dataclasses.replace(dataset, images=np.asfortranarray(dataset.images))
    assert fortran.sha256() == dataset.sha256()


@pytest.mark.parametrize(
    ("changes", "class_names", "whose"),
    [
        ({}, ["a", "b", "c"], "the model's"),
        ({}, ("a", "c", "b"), "others"),
        ({}, ("a", "b"), "others"),
        ({"labels": None, "class_names": ()}, ("a", "b", "c"), "none"),
        ({"labels": None, "class_names": ()}, (), "none"),
    ],
)
def test_labels_count_for_models_of_the_same_classes_alone(
    changes: dict[str, Any], class_names: list[str], whose: str
) -> None:
    dataset = make_dataset(**changes)
    wanted = {"source": "memory", "split": "test", "labels": whose}
    assert dataset.describe(class_names) == wanted
    labels = dataset.labels_for(class_names)
    assert labels is (dataset.labels if whose == "the model's" else None)
