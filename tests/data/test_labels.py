"""Tests of the class names."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cifar_layouts import read_pickle
from vitsd_export.data.labels import (
    CIFAR10_CLASSES,
    CIFAR100_COARSE_CLASSES,
    CIFAR100_FINE_CLASSES,
    default_labels,
    read_labels_file,
)
from vitsd_export.errors import InputError

SHARED = Path(__file__).parents[2] / "../shared/data"


@pytest.mark.parametrize(
    ("file", "key", "names"),
    [
        ("cifar-10-batches-py/batches.meta", "label_names", CIFAR10_CLASSES),
        ("cifar-100-python/meta", "fine_label_names", CIFAR100_FINE_CLASSES),
        ("cifar-100-python/meta", "coarse_label_names", CIFAR100_COARSE_CLASSES),
    ],
)
def test_names_are_those_of_the_original_files(file: str, key: str, names: tuple[str, ...]) -> None:
    if not (SHARED / file).is_file():
        pytest.skip("the original files are not here")
    original = read_pickle(SHARED / file)[key]
    assert tuple(name.decode() for name in original) == names


@pytest.mark.parametrize(
    ("names", "count"),
    [(CIFAR10_CLASSES, 10), (CIFAR100_FINE_CLASSES, 100), (CIFAR100_COARSE_CLASSES, 20)],
)
def test_names_are_complete_and_in_alphabetical_order(names: tuple[str, ...], count: int) -> None:
    assert len(set(names)) == count
    assert list(names) == sorted(names)


def test_default_labels_follow_the_number_of_classes() -> None:
    assert default_labels(10) == CIFAR10_CLASSES
    assert default_labels(100) == CIFAR100_FINE_CLASSES
    assert default_labels(3) == ("class 0", "class 1", "class 2")


def test_labels_file_is_read_in_order(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("\ufeffzèbre\r\n  polar bear \r\nant\r\n\r\n".encode())
    assert read_labels_file(file) == ("zèbre", "polar bear", "ant")


@given(st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1)))
def test_labels_file_returns_what_was_written_or_refuses(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    file = tmp_path_factory.mktemp("labels") / "labels.txt"
    file.write_text("\n".join(names), encoding="utf-8")
    if names and len(set(names)) == len(names):
        assert read_labels_file(file) == tuple(names)
    else:
        with pytest.raises(InputError):
            read_labels_file(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"cat\ndog\ncat\n", "'cat' twice, on lines 1 and 3"),
        (b"cat\n\ndog\n", "no name on line 2"),
        (b"cat\n\xff\xfe\n", "not UTF-8"),
    ],
)
def test_labels_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_labels_file(file)
    assert str(file) in str(caught.value)


def test_labels_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"labels\.txt cannot be read: No such file"):
        read_labels_file(tmp_path / "labels.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_labels_file(tmp_path)
