"""Tests of the binary version of CIFAR."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cifar_layouts import (
    Rows,
    write_cifar10_binary,
    write_cifar10_pickles,
    write_cifar100_binary,
)
from vitsd_export.data.cifar import load_cifar
from vitsd_export.data.detection import detect_cifar
from vitsd_export.data.original_reader import parse_rows
from vitsd_export.errors import InputError


def test_pixels_are_ordered_as_specified() -> None:
    # "The first 1024 bytes are the red channel values, the next 1024 the green, the final 1024 the
    # blue. The values are stored in row-major order."
    red = bytes(1024)
    green = bytes(row for row in range(32) for _ in range(32))
    blue = bytes(column for _ in range(32) for column in range(32))
    images, labels = parse_rows(b"\x07" + red + green + blue, "x.bin", "cifar10")
    assert labels.tolist() == [7]
    assert images.shape == (1, 32, 32, 3)
    assert images[0, 5, 9].tolist() == [0, 5, 9]


def test_coarse_label_comes_before_the_fine_one() -> None:
    row = bytes([13, 81]) + bytes(3072)
    assert parse_rows(row, "x.bin", "cifar100")[1].tolist() == [81]


@given(st.integers(0, 4 * 3074))
def test_file_that_is_not_whole_rows_is_refused(length: int) -> None:
    for name, row in (("cifar10", 3073), ("cifar100", 3074)):
        data = bytes(length)
        if length and length % row == 0:
            assert len(parse_rows(data, "x.bin", name)[0]) == length // row  # type: ignore[arg-type]
        else:
            with pytest.raises(InputError, match=rf"x\.bin has {length} bytes, .* rows of {row}"):
                parse_rows(data, "x.bin", name)  # type: ignore[arg-type]


def test_truncated_file_is_named(tmp_path: Path, cifar10_rows: dict[str, Rows]) -> None:
    folder = write_cifar10_binary(tmp_path, *cifar10_rows.values())
    file = folder / "data_batch_4.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"data_batch_4\.bin has 6145 bytes"):
        load_cifar("cifar10", "train", tmp_path)
    assert len(load_cifar("cifar10", "test", tmp_path)) == 6


def test_missing_batch_is_named(tmp_path: Path, cifar10_rows: dict[str, Rows]) -> None:
    folder = write_cifar10_binary(tmp_path, *cifar10_rows.values())
    (folder / "data_batch_2.bin").unlink()
    with pytest.raises(InputError, match=r"data_batch_2\.bin is missing"):
        load_cifar("cifar10", "train", tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [(0, 20, "a label 20 in row 2, .* 0 to 19"), (1, 100, "a label 100 in row 2, .* 0 to 99")],
)
def test_label_out_of_range_is_refused(
    tmp_path: Path, cifar100_rows: dict[str, Rows], column: int, value: int, message: str
) -> None:
    folder = write_cifar100_binary(tmp_path, *cifar100_rows.values())
    content = bytearray((folder / "test.bin").read_bytes())
    content[2 * 3074 + column] = value
    (folder / "test.bin").write_bytes(content)
    with pytest.raises(InputError, match=rf"test\.bin has {message}"):
        load_cifar("cifar100", "test", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("airplane\nautomobile\n", "2 in place of 10"),
        ("airplane\nbus\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n", "'bus' in place of"),
        ("", "0 in place of 10"),
    ],
)
def test_data_set_of_other_classes_is_refused(
    tmp_path: Path, cifar10_rows: dict[str, Rows], content: str, message: str
) -> None:
    folder = write_cifar10_binary(tmp_path, *cifar10_rows.values())
    (folder / "batches.meta.txt").write_text(content)
    with pytest.raises(InputError, match=rf"meta\.txt lists other classes than .*{message}"):
        load_cifar("cifar10", "test", tmp_path)


def test_class_names_may_be_missing(tmp_path: Path, cifar100_rows: dict[str, Rows]) -> None:
    folder = write_cifar100_binary(tmp_path, *cifar100_rows.values())
    (folder / "fine_label_names.txt").unlink()
    (folder / "coarse_label_names.txt").unlink()
    dataset = load_cifar("cifar100", "test", folder)
    np.testing.assert_array_equal(dataset.labels, cifar100_rows["test"][1])


def test_other_files_called_train_bin_are_not_cifar(tmp_path: Path) -> None:
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(bytes(3074))
    assert detect_cifar(tmp_path) == ()


def test_pickles_go_before_the_binary_version(
    tmp_path: Path, cifar10_rows: dict[str, Rows]
) -> None:
    write_cifar10_binary(tmp_path, *cifar10_rows.values())
    assert load_cifar("cifar10", "test", tmp_path).source.endswith("cifar-10-batches-bin")
    write_cifar10_pickles(tmp_path, *cifar10_rows.values())
    assert load_cifar("cifar10", "test", tmp_path).source.endswith("cifar-10-batches-py")


def test_unreasonably_large_file_is_refused(tmp_path: Path, cifar10_rows: dict[str, Rows]) -> None:
    folder = write_cifar10_binary(tmp_path, *cifar10_rows.values())
    with open(folder / "test_batch.bin", "r+b") as file:
        # Sparse: it takes no room on the disk.
        file.truncate(3073 * 10**9)
    with pytest.raises(InputError, match=r"test_batch\.bin has 3,073,000,000,000 bytes, more than"):
        load_cifar("cifar10", "test", tmp_path)
