"""Tests of reading tarballs, hostile ones among them."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.cifar_layouts import Rows, pack, random_images, write_cifar10_binary
from vitsd_export.data import tarball as tarball_module
from vitsd_export.data.cifar import load_cifar
from vitsd_export.data.tarball import Tarball, is_tarball, list_files
from vitsd_export.errors import InputError

FOLDER = "cifar-10-batches-bin"
ROWS = {
    "train": (random_images(5, 0), np.arange(5)),
    "test": (random_images(2, 1), np.array([3, 4])),
}


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """The header of a member that claims a size."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info.tobuf(tarfile.GNU_FORMAT)


def with_data(name: str, data: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    return member(name, len(data), kind) + data + bytes(-len(data) % 512)


TEST_BATCH = f"{FOLDER}/test_batch.bin"
GOOD = with_data(TEST_BATCH, bytes(3073))
END = bytes(1024)


@pytest.fixture(scope="module")
def cifar_tarball(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("packed")
    return pack(write_cifar10_binary(folder, *ROWS.values()), folder / "x.tar.gz").read_bytes()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes parts of a tar archive as the tarball of CIFAR-10, compressed or not."""

    def write(*parts: bytes, compressed: bool = True) -> Path:
        content = b"".join(parts)
        path = tmp_path / "cifar-10-binary.tar.gz"
        path.write_bytes(gzip.compress(content, 1) if compressed else content)
        return path

    return write


@pytest.mark.parametrize("compressed", [False, True])
def test_files_are_read_by_name(write: Callable[..., Path], compressed: bool) -> None:
    path = write(
        with_data("a/x", b"1"),
        with_data("a/y", b"2"),
        with_data("b/x", b"3"),
        END,
        compressed=compressed,
    )
    assert list(list_files(path)) == [("a", "x"), ("a", "y"), ("b", "x")]
    assert dict(Tarball(path, "a").contents(["y", "x"])) == {"x": b"1", "y": b"2"}
    assert dict(Tarball(path, "b").contents(["x"], ["y"])) == {"x": b"3"}
    with pytest.raises(InputError, match=r"b/y in .*gz is missing"):
        dict(Tarball(path, "b").contents(["x", "y"]))


def test_folder_may_be_missing_or_deep(write: Callable[..., Path]) -> None:
    for folder in ("", "./", f"./{FOLDER}/", f"home/me/data//{FOLDER}/"):
        path = write(
            with_data(f"{folder}._test_batch.bin", b"mac"),
            with_data(f"{folder}test_batch.bin", bytes(3073)),
            END,
        )
        assert len(load_cifar("cifar10", "test", path)) == 1


@pytest.mark.parametrize(
    "file_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
)
def test_every_tar_format_is_read(tmp_path: Path, file_format: int) -> None:
    folder = "ü" * 40 + "/" + "x" * 70
    path = tmp_path / "any.tar"
    with tarfile.open(path, "w", format=file_format) as archive:
        info = tarfile.TarInfo(f"{folder}/test_batch.bin")
        info.size = 3073
        archive.addfile(info, io.BytesIO(bytes(3073)))
    assert len(load_cifar("cifar10", "test", path)) == 1


def test_nothing_is_written_and_paths_lead_nowhere(
    tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "deep" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    marker = tmp_path / "absolute"
    path = write(
        with_data("../../escaped", b"x"),
        with_data(str(marker), b"x"),
        # Not even these are taken for the data set's.
        with_data(f"../{TEST_BATCH}", b"x"),
        with_data(f"/{TEST_BATCH}", b"x"),
        with_data(f"{FOLDER}/../{TEST_BATCH}", b"x"),
        member(f"{FOLDER}/readme.html", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("device", kind=tarfile.CHRTYPE),
        GOOD,
        END,
    )
    before = sorted(tmp_path.rglob("*"))
    assert len(load_cifar("cifar10", "test", path)) == 1
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(InputError, match=r"does not hold CIFAR"):
        load_cifar("cifar10", "test", write(with_data(f"../{TEST_BATCH}", bytes(3073)), END))


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
    ],
)
def test_links_and_devices_are_not_read(
    tmp_path: Path, write: Callable[..., Path], kind: bytes
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(3073))
    training = with_data(f"{FOLDER}/data_batch_1.bin", bytes(3073))
    for link in (str(secret), "data_batch_1.bin"):
        path = write(training, member(TEST_BATCH, kind=kind, link=link), END)
        with pytest.raises(InputError, match=r"test_batch\.bin in .*gz is not a regular file"):
            load_cifar("cifar10", "test", path)
    with pytest.raises(InputError, match="does not hold CIFAR"):
        load_cifar("cifar10", "test", write(member(TEST_BATCH, kind=kind, link=link), END))


def test_sparse_file_is_not_read(write: Callable[..., Path]) -> None:
    header = bytearray(member(TEST_BATCH, 0, tarfile.GNUTYPE_SPARSE))
    header[483:495] = b"77777777777\0"
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(InputError, match="not a regular file"):
        load_cifar("cifar10", "test", write(bytes(header), END))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("size", [2**29 + 1, 10**13, 2**62])
@pytest.mark.parametrize("name", [TEST_BATCH, "other"])
def test_gigantic_size_in_a_header_is_refused(
    write: Callable[..., Path], name: str, size: int, compressed: bool
) -> None:
    training = with_data(f"{FOLDER}/data_batch_1.bin", bytes(3073))
    path = write(training, member(name, size), bytes(5000), compressed=compressed)
    with pytest.raises(
        InputError,
        match=r"cifar-10-binary\.tar\.gz is truncated .* claims a file|"
        r"truncated .* end of data",
    ):
        load_cifar("cifar10", "test", path)


@pytest.mark.parametrize("size", [-512, -1024, -(10**12)])
def test_header_that_points_back_does_not_loop(write: Callable[..., Path], size: int) -> None:
    for name in (TEST_BATCH, "other"):
        path = write(with_data("x", b"1"), member(name, size), GOOD, END)
        with pytest.raises(InputError):
            load_cifar("cifar10", "test", path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_gigantic_extended_header_is_refused(write: Callable[..., Path], kind: bytes) -> None:
    path = write(member("header", 10**9, kind), bytes(5000))
    with pytest.raises(InputError, match="claims a header of 1,000,000,"):
        load_cifar("cifar10", "test", path)


def test_chain_of_extended_headers_is_refused(write: Callable[..., Path]) -> None:
    chain = with_data("header", b"9 path=x\n", tarfile.XHDTYPE) * 1500
    with pytest.raises(InputError, match="is truncated or is not a tarball"):
        load_cifar("cifar10", "test", write(chain, GOOD, END))


def test_too_many_files_are_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="far more files than CIFAR"):
        load_cifar("cifar10", "test", write(member("x") * 2500, GOOD, END))


def test_compressed_bomb_is_refused(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarball_module, "_MOST_BYTES", 3 * 1024**2)
    bomb = bytes(4 * 1024**2)
    with pytest.raises(InputError, match="claims a file that ends at byte 4,19"):
        load_cifar("cifar10", "test", write(with_data("bomb", bomb), GOOD, END))
    with pytest.raises(InputError, match="holds more than 3,145,728 bytes"):
        load_cifar("cifar10", "test", write(GOOD, END, bomb))
    assert len(load_cifar("cifar10", "test", write(GOOD, END, bytes(1024**2)))) == 1


def test_pickle_that_runs_a_command_is_refused(tmp_path: Path, write: Callable[..., Path]) -> None:
    marker = tmp_path / "marker"
    attack = f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()
    path = write(with_data("cifar-10-batches-py/test_batch", attack), END)
    with pytest.raises(InputError, match=r"test_batch in .*gz is refused .* asks for os\.system"):
        load_cifar("cifar10", "test", path)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(600)])
def test_other_file_is_not_a_tarball(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(content)
    assert not is_tarball(path)
    with pytest.raises(InputError, match="is a file, but not a tarball"):
        load_cifar("cifar10", "test", path)


def test_paths_that_are_no_files_are_no_tarballs(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", "a\0b", "~nobody-of-this-name/x", os.devnull):
        assert not is_tarball(path)


@pytest.mark.parametrize("content", [b"no tar archive", b"", bytes(5000)])
def test_gzip_of_something_else_is_refused(write: Callable[..., Path], content: bytes) -> None:
    with pytest.raises(InputError, match=r"not a tarball of CIFAR|does not hold CIFAR"):
        load_cifar("cifar10", "test", write(content))


@given(length=st.integers(2, 2**20))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_truncated_tarball_is_refused(tmp_path: Path, cifar_tarball: bytes, length: int) -> None:
    path = tmp_path / "truncated.tar.gz"
    path.write_bytes(cifar_tarball[: length % len(cifar_tarball)] or b"\x1f\x8b")
    with pytest.raises(InputError, match=r"truncated\.tar\.gz is (truncated|a file)"):
        load_cifar("cifar10", "test", path)


@given(position=st.integers(10, 2**20), value=st.integers(1, 255))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_gzip_is_refused(
    tmp_path: Path, cifar_tarball: bytes, position: int, value: int
) -> None:
    damaged = bytearray(cifar_tarball)
    damaged[10 + position % (len(damaged) - 10)] ^= value
    path = tmp_path / "damaged.tar.gz"
    path.write_bytes(damaged)
    try:
        dataset = load_cifar("cifar10", "test", path)
    except InputError:
        return
    # What was changed is such as the name that gzip keeps: the checksum tells that the rest is whole.
    np.testing.assert_array_equal(dataset.images, ROWS["test"][0])
    np.testing.assert_array_equal(dataset.labels, ROWS["test"][1])


@given(changes=st.dictionaries(st.integers(0, 511), st.integers(0, 255), min_size=1, max_size=4))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_header_never_crashes(tmp_path: Path, changes: dict[int, int]) -> None:
    header = bytearray(GOOD[:512])
    for position, value in changes.items():
        header[position] = value
    # With a checksum that holds, so that the rest of the header is believed.
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "damaged.tar"
    path.write_bytes(bytes(header) + GOOD[512:] + GOOD + END)
    try:
        dataset = load_cifar("cifar10", "test", path)
    except InputError:
        return
    np.testing.assert_array_equal(dataset.images, np.zeros((1, 32, 32, 3)))


def test_first_of_two_files_of_one_name_is_read(write: Callable[..., Path]) -> None:
    other = with_data(TEST_BATCH, b"\x05" + bytes(3072))
    labels = load_cifar("cifar10", "test", write(other, GOOD, END)).labels
    assert labels is not None
    assert labels.tolist() == [5]


def test_unreadable_tarball_is_refused(write: Callable[..., Path]) -> None:
    path = write(GOOD, END)
    path.chmod(0)
    try:
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
        with pytest.raises(InputError, match="cannot be read: Permission denied"):
            load_cifar("cifar10", "test", path)
    finally:
        path.chmod(0o600)


def test_damaged_tarball_in_a_folder_is_named(
    tmp_path: Path, cifar100_rows: dict[str, Rows]
) -> None:
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(gzip.compress(bytes(100))[:-9])
    with pytest.raises(InputError, match=r"cifar-100-python\.tar\.gz is truncated"):
        load_cifar("cifar100", "train", tmp_path)
