"""Tests of the unpickler that runs nothing."""

import builtins
import copyreg
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.cifar_layouts import python2_pickle, read_pickle
from vitsd_export.errors import InputError

PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4)
PYTHON2 = python2_pickle({"data": PIXELS, "labels": [3, 1, 2], "batch_label": "training batch"})


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data_batch_1"


def test_python2_pickle_is_read_as_numpy_would(file: Path) -> None:
    file.write_bytes(PYTHON2)
    content = read_pickle(file)
    assert sorted(content) == ["batch_label", "data", "labels"]
    assert content["data"].dtype == np.uint8
    np.testing.assert_array_equal(content["data"], PIXELS)
    assert content["labels"] == [3, 1, 2]
    assert content["batch_label"] == b"training batch"


@pytest.mark.filterwarnings("ignore::Warning")
def test_python2_pickle_of_the_tests_is_one_that_numpy_reads() -> None:
    reference = pickle.loads(PYTHON2, encoding="bytes")
    np.testing.assert_array_equal(reference[b"data"], PIXELS)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["u1", "<i8", ">i4", "f4", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_python3_pickle_is_read(file: Path, protocol: int, dtype: str, order: Any) -> None:
    array = np.asarray(PIXELS.astype(dtype), order=order)
    labels = [np.int64(4), np.int64(-1)]
    file.write_bytes(pickle.dumps({"data": array, "labels": labels}, protocol))
    content = read_pickle(file)
    assert content["data"].dtype == array.dtype
    np.testing.assert_array_equal(content["data"], array)
    assert content["labels"] == [4, -1]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_that_runs_a_command_is_refused_and_not_run(
    file: Path, tmp_path: Path, protocol: int
) -> None:
    marker = tmp_path / "marker"
    evil = pickle.dumps({"data": Calls(os.system, f"touch {marker}")}, protocol)
    file.write_bytes(evil)
    with pytest.raises(InputError, match=rf"unsafe: it asks for {os.name}\.system") as caught:
        read_pickle(file)
    assert str(file) in str(caught.value)
    assert caught.value.exit_code == 3
    assert not marker.exists()

    pickle.loads(evil)
    assert marker.exists(), "the pickle would not have run the command: it proves nothing"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (
            b"\x80\x04\x8c\x05numpy\x8c\x1bndarray.__class__.__bases__\x93.",
            "numpy.ndarray.__class__",
        ),
        (b"cnumpy\nload\n.", "numpy.load"),
        (b"cnumpy\ndtype.__init__\n.", "numpy.dtype.__init__"),
        (b"c_codecs\nlookup\n.", "_codecs.lookup"),
        (pickle.dumps(OrderedDict(), 4), "collections.OrderedDict"),
        (pickle.dumps(Calls(builtins.eval, "1"), 4), "builtins.eval"),
        (pickle.dumps(Calls(builtins.getattr, "", "join"), 2), "__builtin__.getattr"),
        (pickle.dumps(Calls(__import__, "os"), 0), "__builtin__.__import__"),
        (pickle.dumps([Calls(os.getcwd)], 4), f"{os.name}.getcwd"),
    ],
)
def test_pickle_that_names_anything_else_is_refused(file: Path, content: bytes, name: str) -> None:
    file.write_bytes(content)
    with pytest.raises(InputError, match="unsafe") as caught:
        read_pickle(file)
    assert name in str(caught.value)


def test_registered_extension_is_refused(file: Path) -> None:
    copyreg.add_extension("os", "getcwd", 200)
    try:
        file.write_bytes(b"\x80\x02\x82\xc8)R.")
        with pytest.raises(InputError, match=r"os\.getcwd"):
            read_pickle(file)
    finally:
        copyreg.remove_extension("os", "getcwd", 200)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is truncated or is not a CIFAR file"),
        (b"hello", "is truncated or is not a CIFAR file"),
        (b"\x89PNG\r\n\x1a\n", "is truncated or is not a CIFAR file"),
        (pickle.dumps([1, 2]), "a dictionary was expected, not list"),
        (pickle.dumps({1: 2}), "a string was expected, not int"),
        (pickle.dumps({"data": np.array(["text"])}, 4), "have no place in CIFAR"),
        (pickle.dumps({"data": np.array([None])}, 4), "have no place in CIFAR"),
        (pickle.dumps({"data": np.zeros(2, [("a", "u1")])}, 4), "have no place in CIFAR"),
        (b"\x80\x02U\x01xQ.", "persistent"),
        # Python warns of the unknown escape sequence.
        (b"S'\\q'\n.", "a dictionary was expected, not bytes"),
    ],
)
def test_pickle_of_something_else_is_refused(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_pickle(file)


@pytest.mark.parametrize("content", [b"\x80\x02}r\xff\xff\xff\x7f.", b"}p2147483647\n."])
def test_pickle_that_would_fill_the_memory_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(InputError, match="as number 2147483647"):
        read_pickle(file)


def test_missing_file_is_refused(file: Path) -> None:
    with pytest.raises(InputError, match="data_batch_1 cannot be read: No such file"):
        read_pickle(file)


@given(length=st.integers(0, len(PYTHON2) - 1))
def test_truncated_pickle_is_refused(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    file = tmp_path_factory.getbasetemp() / "truncated"
    file.write_bytes(PYTHON2[:length])
    with pytest.raises(InputError, match=r"truncated is truncated"):
        read_pickle(file)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.dictionaries(
        st.integers(0, len(PYTHON2) - 1), st.integers(0, 255), min_size=1, max_size=4
    )
)
def test_damaged_pickle_is_read_or_refused_and_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[int, int]
) -> None:
    damaged = bytearray(PYTHON2)
    for position, value in changes.items():
        damaged[position] = value
    file = tmp_path_factory.getbasetemp() / "damaged"
    file.write_bytes(damaged)
    try:
        content = read_pickle(file)
    except InputError:
        return
    assert isinstance(content, dict)
