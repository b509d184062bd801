"""The download of CIFAR where Keras's cache lacks it."""

import shutil
import socket
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.support.cifar_layouts import (
    pack,
    random_images,
    write_cifar10_pickles,
    write_cifar100_pickles,
)
from tests.support.processes import run_python
from training import download
from training.datasets import load_split
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import EnvironmentProblem, InputError

IMAGES = random_images(30, 0)
TRAIN, TEST = (IMAGES[:20], np.arange(20) % 10), (IMAGES[20:], np.arange(10))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Keras cache; what is told is printed."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "datasets"


@pytest.fixture
def fetched(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A network that has both data sets; returns the names of what was fetched from it."""
    names: list[str] = []

    def load_cifar10() -> None:
        names.append("cifar10")
        print("Keras talks on standard output")
        target = cache / "cifar-10-batches-py-target"
        shutil.rmtree(target, ignore_errors=True)
        pack(write_cifar10_pickles(target, TRAIN, TEST), target.with_name(f"{target.name}_archive"))

    def load_cifar100() -> None:
        names.append("cifar100")
        write_cifar100_pickles(cache / "cifar-100-python-target", TRAIN, TEST)

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", load_cifar10)
    monkeypatch.setattr(keras.datasets.cifar100, "load_data", load_cifar100)
    return names


def fail_with(error: Exception, before: Callable[[], None] = lambda: None) -> Callable[[], None]:
    def load() -> None:
        before()
        raise error

    return load


def load(name: str, told: list[str] | None = None, **options: Any) -> ImageDataset:
    tell = [].append if told is None else told.append
    arguments = {"size": 32, "seed": 0, "tell": tell, **options}
    return load_split(name, arguments.pop("data_dir", None), "test", **arguments)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_a_missing_data_set_is_fetched_once(
    name: str, cache: Path, fetched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    train, test = (
        load_split(name, None, split, size=32, seed=0, tell=told.append)
        for split in ("train", "test")
    )
    np.testing.assert_array_equal(train.images, TRAIN[0])
    np.testing.assert_array_equal(test.images, TEST[0])
    assert fetched == [name]
    (message,) = told
    assert name in message
    assert str(cache) in message
    assert "170 MB" in message
    assert capsys.readouterr().out == ""
    load(name, told)
    assert (fetched, len(told)) == ([name], 1)


def test_it_is_told_before_the_download_starts(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def check() -> None:
        assert len(told) == 1
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", check)
    with pytest.raises(EnvironmentProblem, match="reset by peer"):
        load("cifar10", told)


@pytest.mark.parametrize("place", ["cifar-10-batches-py", "", "cifar-10-batches-py-target"])
def test_what_is_there_is_not_fetched(place: str, cache: Path, fetched: list[str]) -> None:
    write_cifar10_pickles(cache / place, TRAIN, TEST)
    assert len(load("cifar10")) == 10
    assert not fetched


def test_a_data_folder_is_never_filled_by_a_download(
    cache: Path, fetched: list[str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="does not hold CIFAR"):
        load("cifar10", data_dir=tmp_path / "empty")
    assert not fetched
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["cut archive", "missing batch", "cut batch"])
def test_what_a_killed_download_left_is_fetched_again(
    damage: str, cache: Path, fetched: list[str]
) -> None:
    target = cache / "cifar-10-batches-py-target"
    folder = write_cifar10_pickles(target, TRAIN, TEST)
    if damage == "cut archive":
        archive = pack(folder, target.with_name(f"{target.name}_archive"))
        archive.write_bytes(archive.read_bytes()[:3000])
        shutil.rmtree(target)
    elif damage == "missing batch":
        (folder / "test_batch").unlink()
    else:
        (folder / "test_batch").write_bytes((folder / "test_batch").read_bytes()[:-100])
    np.testing.assert_array_equal(load("cifar10").images, TEST[0])
    assert fetched == ["cifar10"]


def test_damaged_files_that_are_not_keras_own_are_told(cache: Path, fetched: list[str]) -> None:
    folder = write_cifar10_pickles(cache, TRAIN, TEST)
    (folder / "test_batch").unlink()
    with pytest.raises(InputError, match="test_batch is missing"):
        load("cifar10")
    assert not fetched


@pytest.mark.parametrize(
    "error",
    [
        # As `keras.utils.get_file` raises where the name cannot be resolved, and on another digest.
        Exception("URL fetch failure on https://host/cifar: None -- Name or service not known"),
        ValueError("Incomplete or corrupted file detected."),
        urllib.error.URLError("timed out"),
        TimeoutError(),
        OSError(28, "No space left on device"),
    ],
)
def test_a_failed_download_says_what_to_do_and_leaves_nothing(
    error: Exception, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = cache / "cifar-10-batches-py-target"

    def leave_parts() -> None:
        write_cifar10_pickles(target, TRAIN, TEST)
        target.with_name(f"{target.name}_archive").write_bytes(b"part")

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", fail_with(error, leave_parts))
    with pytest.raises(EnvironmentProblem) as caught:
        load("cifar10")
    message = str(caught.value)
    reason = str(error) or "TimeoutError"
    for part in (reason, str(cache), "cifar-10-python.tar.gz", "--data-dir", "parquet", "pickles"):
        assert part in message
    assert "\n" not in message
    assert not list(cache.iterdir())


def test_a_failed_download_keeps_what_was_there(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_cifar10_pickles(cache / "cifar-10-batches-py-target", TRAIN, TEST)
    (folder / "test_batch").unlink()
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", fail_with(OSError("no network")))
    with pytest.raises(EnvironmentProblem, match="no network"):
        load("cifar10")
    assert (folder / "data_batch_1").exists()


def test_other_exceptions_are_bugs(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", fail_with(ZeroDivisionError("bug")))
    with pytest.raises(ZeroDivisionError):
        load("cifar10")


def test_a_silent_network_does_not_hang(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts: list[float | None] = []

    def note() -> None:
        timeouts.append(socket.getdefaulttimeout())

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", fail_with(TimeoutError(), note))
    with pytest.raises(EnvironmentProblem):
        load("cifar10")
    assert timeouts[0] is not None
    assert socket.getdefaulttimeout() is None


def test_a_cache_that_cannot_be_written_is_told(
    cache: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The owner of everything may write everywhere: access is denied by hand.
    monkeypatch.setattr(download.os, "access", lambda path, mode: Path(path) != cache)
    with pytest.raises(EnvironmentProblem, match="cannot be written to"):
        load("cifar10")
    assert not fetched


def test_a_cache_that_is_a_file_is_told(cache: Path, fetched: list[str]) -> None:
    cache.parent.parent.mkdir(exist_ok=True)
    cache.parent.write_text("a file")
    with pytest.raises(EnvironmentProblem, match="could not be downloaded"):
        load("cifar10")
    assert not fetched


def test_a_full_disk_is_told_before_the_download(
    cache: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=10**8)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(EnvironmentProblem, match="100 MB free, and 400 are needed"):
        load("cifar10")
    assert not fetched


def test_without_a_network_the_program_ends_with_5(tmp_path: Path) -> None:
    # A proxy that nobody listens at: no packet leaves the machine.
    code = (
        "import sys\n"
        "from training.datasets import load_split\n"
        "from vitsd_export.errors import EnvironmentProblem\n"
        "try:\n"
        "    load_split('cifar100', None, 'test', size=32, seed=0, tell=lambda _: None)\n"
        "except EnvironmentProblem as error:\n"
        "    print(error.exit_code, error)\n"
    )
    proxy = {"https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    shown = run_python(code, KERAS_HOME=str(tmp_path), **proxy)
    assert shown.startswith("5 cifar100 could not be downloaded: URL fetch failure")
    assert "Connection refused" in shown
    assert not [path for path in (tmp_path / "datasets").iterdir() if path.is_file()]


def test_the_names_are_those_keras_uses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Which files Keras asks for, told by Keras itself."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name, module in (
        ("cifar10", keras.datasets.cifar10),
        ("cifar100", keras.datasets.cifar100),
    ):
        asked: list[dict[str, Any]] = []

        def get_file(asked: list[dict[str, Any]] = asked, **options: Any) -> str:
            asked.append(options)
            raise OSError("enough")

        monkeypatch.setitem(module.load_data.__globals__, "get_file", get_file)
        with pytest.raises(EnvironmentProblem, match="enough"):
            load(name)
        (options,) = asked
        assert options["extract"] is True
        # A digest: a part of a file would be trusted otherwise.
        assert len(options["file_hash"]) == 64
        assert options["origin"].endswith(f"/{download._ORIGINALS[name].tarball}.tar.gz")  # type: ignore[index]
        assert options["fname"] == download._own_files(name)[0].name  # type: ignore[arg-type]
