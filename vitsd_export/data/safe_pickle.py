"""Reads the pickles in which CIFAR is distributed, without letting them run anything.

A pickle is a program: it may import any function and call it. This reader resolves only the names
that a pickled NumPy array needs, and resolves them to the classes below, which check what they are
given; no other name can be reached, and NumPy's own reconstruction never sees the file's contents.
(That also spares the deprecation warnings of NumPy ≥ 2.4 on the integers that Python 2 wrote for
booleans.)
"""

import io
import pickle
import pickletools
import warnings
from typing import Any

import numpy as np

from vitsd_export._internal.damaged_files import UNREADABLE_ERRORS
from vitsd_export.errors import InputError

_NUMBER_CODES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"})


class _ForbiddenNameError(Exception):
    pass


def _text(value: Any) -> str:
    """Returns a string that Python 2 wrote as bytes."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str):
        raise TypeError(f"a string was expected, not {type(value).__name__}")
    return value


class _PickledDtype:
    """Stands for `numpy.dtype`, of plain numbers alone."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        self.code = _text(code)
        self.byte_order = "="
        if self.code not in _NUMBER_CODES:
            raise ValueError(f"arrays of type {self.code!r} have no place in CIFAR")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.byte_order = _text(state[1])

    def resolve(self) -> np.dtype[Any]:
        return np.dtype(self.byte_order + self.code)


class _PickledArray:
    """Stands for `numpy.core.multiarray._reconstruct`; the state brings shape and bytes."""

    def __init__(self, kind: Any, shape: Any, code: Any) -> None:
        self.values = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, data = state
        self.values = _array(data, dtype, shape, "F" if is_fortran else "C")


class _PickledBuffer(_PickledArray):
    """Stands for `numpy.core.numeric._frombuffer`, by which pickle protocol 5 holds arrays."""

    def __init__(self, data: Any, dtype: Any, shape: Any, order: Any) -> None:
        self.values = _array(data, dtype, shape, _text(order))


class _NdarrayType:
    """Stands for the class `numpy.ndarray`, which pickles only name."""


def _array(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    if not isinstance(dtype, _PickledDtype) or not isinstance(data, bytes | bytearray):
        raise TypeError("an array was expected to hold the bytes of numbers")
    if order not in ("C", "F"):
        raise ValueError(f"unknown memory order {order!r}")
    values = np.frombuffer(data, dtype.resolve())
    return values.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, data: Any) -> Any:
    """Stands for `numpy.core.multiarray.scalar`: labels that were saved as NumPy numbers."""
    return _array(data, dtype, (), "C").item()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands for `_codecs.encode`, by which Python 3 writes bytes in pickle protocol 2."""
    if _text(encoding) not in ("latin1", "latin-1"):
        raise ValueError(f"unknown encoding {encoding!r}")
    return _text(text).encode("latin-1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NdarrayType,
    ("numpy", "dtype"): _PickledDtype,
    ("_codecs", "encode"): _encode,
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _PickledArray
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _PickledBuffer


class _CifarUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return _ALLOWED[module_name, global_name]
        except KeyError:
            raise _ForbiddenNameError(f"{module_name}.{global_name}") from None


def parse_pickle(data: bytes, where: str) -> dict[str, Any]:
    """Reads a dictionary from the bytes of a CIFAR pickle of Python 2 or 3; messages call it `where`.

    Returns:
        The dictionary with its keys as strings; arrays as `numpy.ndarray`, other values as pickled
        (strings of Python 2 as bytes).

    Raises:
        InputError: If the pickle is damaged, holds something else than a dictionary, or names
            anything that a CIFAR pickle does not need; in that case nothing of it was executed.
    """
    try:
        with warnings.catch_warnings():
            # Of unknown escape sequences, which a damaged string may hold.
            warnings.simplefilter("ignore", DeprecationWarning)
            _check_memo(data)
            content = _CifarUnpickler(io.BytesIO(data), encoding="bytes").load()
        if not isinstance(content, dict):
            raise TypeError(f"a dictionary was expected, not {type(content).__name__}")
        return {_text(key): _unwrap(value) for key, value in content.items()}
    except _ForbiddenNameError as error:
        raise InputError(
            f"{where} is refused as unsafe: it asks for {error}, which no CIFAR file needs. "
            "Nothing of it was executed. Download the data set again from a source you trust."
        ) from error
    except UNREADABLE_ERRORS as error:
        raise InputError(
            f"{where} is truncated or is not a CIFAR file ({error}). Download the data set again."
        ) from error


def _check_memo(data: bytes) -> None:
    """Raises ValueError if a pickle numbers an object far beyond the objects it can hold.

    The unpickler makes room for as many objects as the number says: a few bytes would fill memory.
    """
    for opcode, number, _ in pickletools.genops(data):
        if opcode.name in ("PUT", "LONG_BINPUT") and number is not None and number > len(data):
            raise ValueError(f"it stores an object as number {number}")


def _unwrap(value: Any) -> Any:
    return value.values if isinstance(value, _PickledArray) else value
