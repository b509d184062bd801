"""Tests of loading CIFAR from the layouts that people hold."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tests.support.cifar_layouts import (
    Rows,
    encode,
    pack,
    planes,
    python2_pickle,
    random_images,
    write_cifar10_binary,
    write_cifar10_pickles,
    write_cifar100_binary,
    write_cifar100_pickles,
    write_parquet,
)
from vitsd_export.data.cifar import load_cifar
from vitsd_export.data.detection import detect_cifar
from vitsd_export.data.labels import (
    CIFAR10_CLASSES,
    CIFAR100_FINE_CLASSES,
)
from vitsd_export.errors import InputError

SHARED = Path(__file__).parents[2] / "../shared/data"
SPLITS: tuple[Literal["train", "test"], ...] = ("train", "test")
Rows2 = dict[str, Rows]
Layout = Callable[[Path, Rows2], Path]


def pickles_folder(folder: Path, rows: Rows2) -> Path:
    return write_cifar10_pickles(folder, rows["train"], rows["test"])


def pickles_parent(folder: Path, rows: Rows2) -> Path:
    return pickles_folder(folder, rows).parent


def keras_datasets_folder(folder: Path, rows: Rows2) -> Path:
    pickles_folder(folder / "datasets" / "cifar-10-batches-py-target", rows)
    return folder / "datasets"


def keras_home_folder(folder: Path, rows: Rows2) -> Path:
    return keras_datasets_folder(folder, rows).parent


def keras_old_name(folder: Path, rows: Rows2) -> Path:
    pickles_folder(folder / "datasets", rows)
    return folder


def binary_folder(folder: Path, rows: Rows2) -> Path:
    return write_cifar10_binary(folder, rows["train"], rows["test"])


def binary_parent(folder: Path, rows: Rows2) -> Path:
    return binary_folder(folder, rows).parent


def binary_renamed(folder: Path, rows: Rows2) -> Path:
    return binary_folder(folder, rows).rename(folder / "mine")


def tarball(folder: Path, rows: Rows2) -> Path:
    return pack(pickles_folder(folder / "unpacked", rows), folder / "cifar-10-python.tar.gz")


def tarball_renamed(folder: Path, rows: Rows2) -> Path:
    return tarball(folder, rows).rename(folder / "download (1)")


def tarball_root(folder: Path, rows: Rows2) -> Path:
    return pack(pickles_folder(folder, rows), folder / "root" / "cifar-10-python.tar.gz").parent


def tarball_root_uncompressed(folder: Path, rows: Rows2) -> Path:
    return pack(pickles_folder(folder, rows), folder / "root" / "cifar-10-python.tar").parent


def tarball_keras_archive(folder: Path, rows: Rows2) -> Path:
    archive = folder / "keras" / "datasets" / "cifar-10-batches-py-target_archive"
    return pack(pickles_folder(folder, rows), archive).parents[1]


def tarball_binary(folder: Path, rows: Rows2) -> Path:
    return pack(binary_folder(folder / "unpacked", rows), folder / "cifar-10-binary.tar.gz")


def tarball_binary_root(folder: Path, rows: Rows2) -> Path:
    return pack(binary_folder(folder, rows), folder / "root" / "cifar-10-binary.tgz").parent


def torchvision_root(folder: Path, rows: Rows2) -> Path:
    root = pickles_parent(folder / "root", rows)
    # What the extracted folder makes unnecessary is not opened.
    (root / "cifar-10-python.tar.gz").write_bytes(b"\x1f\x8bdamaged")
    return root


def _parquet(
    folder: Path, rows: Rows2, *, subfolder: str = "", image: str = "img", label: str = "label"
) -> Path:
    for split, (images, labels) in rows.items():
        path = folder / subfolder / f"{split}-00000-of-00001.parquet"
        write_parquet(path, images, {label: labels}, image_column=image)
    return folder


def parquet_flat(folder: Path, rows: Rows2) -> Path:
    return _parquet(folder, rows)


def parquet_plain_text(folder: Path, rows: Rows2) -> Path:
    return _parquet(folder, rows, subfolder="plain_text")


def parquet_data(folder: Path, rows: Rows2) -> Path:
    return _parquet(folder, rows, subfolder="data", image="image", label="labels")


def parquet_shards(folder: Path, rows: Rows2) -> Path:
    for split, (images, labels) in rows.items():
        for index, part in enumerate(np.array_split(np.arange(len(labels)), 3)):
            path = folder / f"{split}-{index:05d}-of-00003.parquet"
            write_parquet(path, images[part], {"label": labels[part]}, row_group_size=2)
    return folder


def parquet_binary(folder: Path, rows: Rows2) -> Path:
    for split, (images, labels) in rows.items():
        write_parquet(folder / f"{split}-0.parquet", images, {"label": labels}, struct=False)
    return folder


@pytest.mark.parametrize(
    "layout",
    [
        pickles_folder,
        pickles_parent,
        keras_datasets_folder,
        keras_home_folder,
        keras_old_name,
        binary_folder,
        binary_parent,
        binary_renamed,
        tarball,
        tarball_renamed,
        tarball_root,
        tarball_root_uncompressed,
        tarball_keras_archive,
        tarball_binary,
        tarball_binary_root,
        torchvision_root,
        parquet_flat,
        parquet_plain_text,
        parquet_data,
        parquet_shards,
        parquet_binary,
    ],
)
@pytest.mark.parametrize("split", SPLITS)
def test_cifar10_is_read_exactly_in_every_layout(
    tmp_path: Path,
    cifar10_rows: Rows2,
    layout: Layout,
    split: Literal["train", "test"],
) -> None:
    folder = layout(tmp_path, cifar10_rows)
    dataset = load_cifar("cifar10", split, folder)
    np.testing.assert_array_equal(dataset.images, cifar10_rows[split][0])
    np.testing.assert_array_equal(dataset.labels, cifar10_rows[split][1])
    assert dataset.class_names == CIFAR10_CLASSES
    assert (dataset.name, dataset.split) == ("cifar10", split)
    assert str(tmp_path) in dataset.source
    assert load_cifar("cifar10", split, str(folder)).sha256() == dataset.sha256()
    assert detect_cifar(folder) == ("cifar10",)


@pytest.mark.parametrize(
    "layout",
    [
        "pickles 2",
        "pickles 5",
        "binary",
        "tarball of pickles",
        "tarball of binary",
        "parquet",
        "parquet label",
    ],
)
@pytest.mark.parametrize("split", SPLITS)
def test_cifar100_is_read_exactly_in_every_layout(
    tmp_path: Path, cifar100_rows: Rows2, layout: str, split: Literal["train", "test"]
) -> None:
    if layout.startswith("pickles"):
        protocol = int(layout[-1])
        write_cifar100_pickles(tmp_path, *cifar100_rows.values(), protocol=protocol)
    elif layout == "binary":
        write_cifar100_binary(tmp_path, *cifar100_rows.values())
    elif layout == "tarball of pickles":
        folder = write_cifar100_pickles(tmp_path / "unpacked", *cifar100_rows.values())
        pack(folder, tmp_path / "cifar-100-python.tar.gz")
    elif layout == "tarball of binary":
        folder = write_cifar100_binary(tmp_path / "unpacked", *cifar100_rows.values())
        pack(folder, tmp_path / "cifar-100-binary.tar.gz")
    else:
        for name, (images, labels) in cifar100_rows.items():
            columns = {"fine_label": labels, "coarse_label": labels // 5}
            if layout == "parquet label":
                columns = {"label": labels}
            write_parquet(tmp_path / "cifar100" / f"{name}-0.parquet", images, columns)
    dataset = load_cifar("cifar100", split, tmp_path)
    np.testing.assert_array_equal(dataset.images, cifar100_rows[split][0])
    np.testing.assert_array_equal(dataset.labels, cifar100_rows[split][1])
    assert dataset.class_names == CIFAR100_FINE_CLASSES
    assert detect_cifar(tmp_path) == ("cifar100",)


def test_cifar100_pickles_are_known_by_meta_under_any_folder_name(
    tmp_path: Path, cifar100_rows: Rows2
) -> None:
    folder = write_cifar100_pickles(tmp_path, *cifar100_rows.values())
    renamed = folder.rename(tmp_path / "mine")
    assert detect_cifar(renamed) == ()
    (renamed / "meta").write_bytes(python2_pickle({"fine_label_names": []}))
    assert len(load_cifar("cifar100", "test", renamed)) == 5


def test_both_data_sets_may_lie_side_by_side(
    tmp_path: Path, cifar10_rows: Rows2, cifar100_rows: Rows2
) -> None:
    write_cifar10_pickles(tmp_path, *cifar10_rows.values())
    write_cifar100_pickles(tmp_path, *cifar100_rows.values())
    assert detect_cifar(tmp_path) == ("cifar10", "cifar100")
    assert len(load_cifar("cifar10", "train", tmp_path)) == 13
    assert len(load_cifar("cifar100", "train", tmp_path)) == 8


@pytest.mark.parametrize("outer", ["", "cifar-10-batches-py-target", "cifar-10-batches-py"])
def test_keras_cache_is_read_when_no_folder_is_given(
    keras_datasets: Path, cifar10_rows: Rows2, outer: str
) -> None:
    write_cifar10_pickles(keras_datasets / outer, *cifar10_rows.values())
    dataset = load_cifar("cifar10", "test", None)
    np.testing.assert_array_equal(dataset.images, cifar10_rows["test"][0])


def test_keras_cache_of_cifar100_is_read(keras_datasets: Path, cifar100_rows: Rows2) -> None:
    folder = keras_datasets / "cifar-100-python-target"
    write_cifar100_pickles(folder, *cifar100_rows.values(), protocol=2)
    assert len(load_cifar("cifar100", "train", None)) == 8


def test_keras_cache_defaults_to_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cifar10_rows: Rows2
) -> None:
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_cifar10_pickles(tmp_path / ".keras" / "datasets", *cifar10_rows.values())
    assert len(load_cifar("cifar10", "test", None)) == 6


@pytest.mark.usefixtures("keras_datasets")
def test_empty_keras_cache_fails_and_says_how_to_fetch() -> None:
    with pytest.raises(InputError) as caught:
        load_cifar("cifar100", "train", None)
    for part in ("datasets", "parquet", "pickles", "keras.datasets.cifar100.load_data()"):
        assert part in str(caught.value)


@pytest.mark.parametrize("asked", ["cifar10", "cifar100"])
@pytest.mark.parametrize("layout", ["pickles", "binary", "tarball", "parquet"])
def test_the_other_data_set_is_refused(
    tmp_path: Path,
    cifar10_rows: Rows2,
    cifar100_rows: Rows2,
    asked: Literal["cifar10", "cifar100"],
    layout: str,
) -> None:
    held = {"cifar10": "cifar100", "cifar100": "cifar10"}[asked]
    rows = cifar10_rows if held == "cifar10" else cifar100_rows
    write = write_cifar10_pickles if held == "cifar10" else write_cifar100_pickles
    if layout == "binary":
        write = write_cifar10_binary if held == "cifar10" else write_cifar100_binary
    if layout in ("pickles", "binary"):
        write(tmp_path, *rows.values())
    elif layout == "tarball":
        # Known by what it holds, not by its name.
        folder = write(tmp_path / "unpacked", *rows.values())
        stem = "cifar-10-python" if asked == "cifar10" else "cifar-100-python"
        archive = pack(folder, tmp_path / f"{stem}.tar.gz")
        with pytest.raises(InputError, match=f"holds {held}, but {asked} was asked for"):
            load_cifar(asked, "train", archive)
        with pytest.raises(InputError, match="does not hold CIFAR"):
            load_cifar(asked, "train", tmp_path)
        return
    else:
        _parquet(tmp_path, rows, label="label" if held == "cifar10" else "fine_label")
    with pytest.raises(InputError, match=f"holds {held}, but {asked} was asked for"):
        load_cifar(asked, "train", tmp_path)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no folder .*nowhere"):
        load_cifar("cifar10", "train", tmp_path / "nowhere")


def test_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").touch()
    with pytest.raises(InputError, match=r"cifar-10-python\.tar\.gz is a file, but not a tarball"):
        load_cifar("cifar10", "train", tmp_path / "cifar-10-python.tar.gz")


def test_null_character_in_the_path_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_cifar("cifar10", "train", "a\0b")


def test_other_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="does not hold CIFAR") as caught:
        load_cifar("cifar10", "train", tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_missing_batch_is_refused(tmp_path: Path, cifar10_rows: Rows2) -> None:
    folder = write_cifar10_pickles(tmp_path, *cifar10_rows.values())
    (folder / "data_batch_3").unlink()
    with pytest.raises(InputError, match="data_batch_3 is missing"):
        load_cifar("cifar10", "train", tmp_path)
    assert len(load_cifar("cifar10", "test", tmp_path)) == 6


def test_truncated_batch_is_refused(tmp_path: Path, cifar10_rows: Rows2) -> None:
    folder = write_cifar10_pickles(tmp_path, *cifar10_rows.values())
    file = folder / "data_batch_2"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(InputError, match="data_batch_2 is truncated"):
        load_cifar("cifar10", "train", tmp_path)


def test_batch_that_runs_a_command_is_refused(tmp_path: Path, cifar10_rows: Rows2) -> None:
    folder = write_cifar10_pickles(tmp_path, *cifar10_rows.values())
    marker = tmp_path / "marker"
    (folder / "test_batch").write_bytes(f"cos\nsystem\n(S'touch {marker}'\ntR.".encode())
    with pytest.raises(InputError, match=r"test_batch is refused .* asks for os\.system"):
        load_cifar("cifar10", "test", tmp_path)
    assert not marker.exists()


_GOOD = {"data": planes(random_images(2, 0)), "labels": [1, 2]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [1, 10]}, "2 labels between 0 and 9"),
        ({"labels": [1, -1]}, "2 labels between 0 and 9"),
        ({"labels": [1]}, "2 labels between 0 and 9"),
        ({"labels": [1, None]}, "2 labels between 0 and 9"),
        ({"labels": "12"}, "2 labels between 0 and 9"),
        ({"data": np.zeros((2, 784), np.uint8)}, "rows of 3072 uint8 pixels"),
        ({"data": np.zeros((2, 3072), np.float32)}, "rows of 3072 uint8 pixels"),
        ({"data": np.zeros((0, 3072), np.uint8)}, "rows of 3072 uint8 pixels"),
        ({"data": np.zeros(3072, np.uint8)}, "rows of 3072 uint8 pixels"),
        ({"data": [0] * 3072}, "rows of 3072 uint8 pixels"),
    ],
)
def test_batch_with_wrong_contents_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "test_batch").write_bytes(pickle.dumps({**_GOOD, **changes}, 4))
    with pytest.raises(InputError, match=f"test_batch does not hold .*{message}"):
        load_cifar("cifar10", "test", tmp_path)


def test_labels_may_be_an_array(tmp_path: Path) -> None:
    batch = {**_GOOD, "labels": np.array([1, 2], np.uint8)}
    (tmp_path / "test_batch").write_bytes(pickle.dumps(batch, 4))
    dataset = load_cifar("cifar10", "test", tmp_path)
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 2]


def test_batch_of_the_other_data_set_is_refused(
    tmp_path: Path, cifar10_rows: Rows2, cifar100_rows: Rows2
) -> None:
    folder = write_cifar10_pickles(tmp_path, *cifar10_rows.values())
    other = write_cifar100_pickles(tmp_path, *cifar100_rows.values())
    shutil.copy(other / "test", folder / "test_batch")
    with pytest.raises(InputError, match=r"test_batch has no `labels`, only data, fine_labels"):
        load_cifar("cifar10", "test", folder)


def test_split_without_parquet_files_is_refused(tmp_path: Path, cifar10_rows: Rows2) -> None:
    parquet_flat(tmp_path, cifar10_rows)
    (tmp_path / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(InputError, match=r"no test-\*\.parquet"):
        load_cifar("cifar10", "test", tmp_path)


def test_missing_parquet_shard_is_refused(tmp_path: Path, cifar10_rows: Rows2) -> None:
    parquet_shards(tmp_path, cifar10_rows)
    (tmp_path / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(InputError, match="lacks parquet file number 1 of the 3"):
        load_cifar("cifar10", "train", tmp_path)


def test_mixed_parquet_shards_are_refused(tmp_path: Path, cifar10_rows: Rows2) -> None:
    parquet_shards(tmp_path, cifar10_rows)
    parquet_flat(tmp_path, cifar10_rows)
    with pytest.raises(InputError, match="mixes parquet files of different downloads"):
        load_cifar("cifar10", "train", tmp_path)


@pytest.mark.parametrize("kept", [0, 3, 100, 0.5, 0.9, -1])
def test_truncated_parquet_is_refused(
    tmp_path: Path, cifar10_rows: Rows2, kept: int | float
) -> None:
    parquet_flat(tmp_path, cifar10_rows)
    file = tmp_path / "test-00000-of-00001.parquet"
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(InputError, match=r"test-00000-of-00001\.parquet is not a readable parquet"):
        load_cifar("cifar10", "test", tmp_path)


def test_parquet_with_damaged_pages_is_refused(tmp_path: Path, cifar10_rows: Rows2) -> None:
    images, labels = cifar10_rows["test"]
    file = tmp_path / "test-0.parquet"
    write_parquet(file, images, {"label": labels}, write_page_checksum=False)
    content = bytearray(file.read_bytes())
    content[4:200] = b"\xff" * 196
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"test-0\.parquet"):
        load_cifar("cifar10", "test", tmp_path)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, r"row 2 of .*test-0\.parquet is missing"),
        (b"", r"row 2 of .*test-0\.parquet is in none of the formats"),
        (b"not an image", r"row 2 of .*test-0\.parquet is in none of the formats"),
        (encode(random_images(1, 0)[0])[:500], r"row 2 of .*test-0\.parquet is truncated"),
        (
            encode(random_images(1, 0, size=28)[0]),
            r"row 2 of .*test-0\.parquet is 28×28 pixels, the first one 32×32",
        ),
    ],
)
def test_parquet_with_an_unusable_image_is_refused(
    tmp_path: Path, cell: bytes | None, message: str
) -> None:
    cells: list[bytes | None] = [encode(image) for image in random_images(4, 0)]
    cells[2] = cell
    write_parquet(tmp_path / "test-0.parquet", cells, {"label": [0, 1, 2, 3]})
    with pytest.raises(InputError, match=message):
        load_cifar("cifar10", "test", tmp_path)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (
            [0, 10],
            10,
            r"label in row 1 of .*test-0\.parquet is 10, but cifar10 has the labels 0 to 9",
        ),
        ([-1, -1], None, r"label in row 0 of .*test-0\.parquet is -1"),
        ([0, None], None, r"image or label in row 1 of .*test-0\.parquet is missing"),
        (["cat", "dog"], None, r"labels of type string in the column label"),
        ([0, 1], 1000, "is not CIFAR: its labels are of 1000 classes"),
        ([0, 100], None, "holds cifar100, but cifar10"),
    ],
)
def test_parquet_with_unusable_labels_is_refused(
    tmp_path: Path, labels: list[object], classes: int | None, message: str
) -> None:
    columns = {"label": labels}
    write_parquet(tmp_path / "test-0.parquet", random_images(2, 0), columns, noted_classes=classes)
    with pytest.raises(InputError, match=message):
        load_cifar("cifar10", "test", tmp_path)


def test_noted_classes_tell_the_data_set(tmp_path: Path) -> None:
    columns = {"label": [0, 1]}
    write_parquet(tmp_path / "test-0.parquet", random_images(2, 0), columns, noted_classes=100)
    assert detect_cifar(tmp_path) == ("cifar100",)
    assert len(load_cifar("cifar100", "test", tmp_path)) == 2


def test_parquet_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "train-0.parquet"
    message = r"train-0\.parquet is not a CIFAR file: it has no column "
    write_parquet(file, random_images(1, 0), {"caption": ["a cat"]})
    with pytest.raises(InputError, match=message + "label or labels, only img, caption"):
        load_cifar("cifar10", "train", tmp_path)
    write_parquet(file, random_images(1, 0), {"label": [1]}, image_column="picture")
    with pytest.raises(InputError, match=message + "img or image, only picture, label"):
        load_cifar("cifar10", "train", tmp_path)


def test_parquet_with_decoded_images_is_refused(tmp_path: Path) -> None:
    columns = {"label": [1], "img": [[0, 128, 255]]}
    write_parquet(tmp_path / "test-0.parquet", random_images(1, 0), columns, image_column="raw")
    with pytest.raises(InputError, match=r"test-0\.parquet has images of type list<.*>"):
        load_cifar("cifar10", "test", tmp_path)


def test_parquet_without_rows_is_refused(tmp_path: Path) -> None:
    empty = np.array([], np.int64)
    write_parquet(tmp_path / "test-0.parquet", random_images(0, 0), {"label": empty})
    with pytest.raises(InputError, match=r"test-0\.parquet has no rows"):
        load_cifar("cifar10", "test", tmp_path)


@pytest.mark.parametrize("data_dir", ["cifar-10-batches-py", "cifar10-jpeg"])
def test_real_cifar10_test_images_are_read(data_dir: str) -> None:
    if not (SHARED / data_dir).is_dir():
        pytest.skip("the real data is not here")
    dataset = load_cifar("cifar10", "test", SHARED / data_dir)
    assert len(dataset) >= 500
    assert dataset.images.shape[1:] == (32, 32, 3)
    assert dataset.labels is not None
    assert set(dataset.labels.tolist()) == set(range(10))
    # Published mean of CIFAR-10's channels: 125.3, 123.0, 113.9.
    np.testing.assert_allclose(dataset.images.mean((0, 1, 2)), [125.3, 123.0, 113.9], atol=5)


@pytest.mark.parametrize("layout", ["binary", "tarball", "tarball of binary"])
@pytest.mark.parametrize("split", SPLITS)
def test_real_cifar10_is_the_same_in_every_layout(
    tmp_path: Path, layout: str, split: Literal["train", "test"]
) -> None:
    pickles = SHARED / "cifar-10-batches-py"
    if not pickles.is_dir():
        pytest.skip("the real data is not here")
    expected = {name: load_cifar("cifar10", name, pickles) for name in SPLITS}
    if layout == "tarball":
        found = pack(pickles, tmp_path / "cifar-10-python.tar")
    else:
        rows = [(part.images, part.labels) for part in expected.values()]
        found = write_cifar10_binary(tmp_path, *rows)  # type: ignore[arg-type]
    if layout == "tarball of binary":
        found = pack(found, tmp_path / "root" / "cifar-10-binary.tar").parent
    assert load_cifar("cifar10", split, found).sha256() == expected[split].sha256()


@pytest.mark.parametrize("layout", ["binary", "tarball", "tarball of binary"])
def test_real_cifar100_is_the_same_in_every_layout(tmp_path: Path, layout: str) -> None:
    pickles = SHARED / "cifar-100-python"
    if not pickles.is_dir():
        pytest.skip("the real data is not here")
    if layout == "tarball":
        found = pack(pickles, tmp_path / "cifar-100-python.tar.gz")
    else:
        fine = [load_cifar("cifar100", split, pickles) for split in SPLITS]
        rows = [(part.images, part.labels) for part in fine]
        found = write_cifar100_binary(tmp_path, *rows)  # type: ignore[arg-type]
    if layout == "tarball of binary":
        found = pack(found, tmp_path / "root" / "cifar-100-binary.tar.gz").parent
    for split in SPLITS:
        expected = load_cifar("cifar100", split, pickles)
        assert load_cifar("cifar100", split, found).sha256() == expected.sha256()


def test_unreadable_folder_is_refused(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    try:
        if os.access(locked, os.R_OK):
            pytest.skip("this user may read everything")
        with pytest.raises(InputError, match="cannot be read"):
            load_cifar("cifar10", "train", locked)
    finally:
        locked.chmod(0o700)
