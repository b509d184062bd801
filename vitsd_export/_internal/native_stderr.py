"""Keeping native libraries from writing to the process's standard error."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import IO


@contextlib.contextmanager
def quiet_native_stderr() -> Iterator[None]:
    """Sends what is written to file descriptor 2 to nowhere while the block runs.

    LiteRT announces its delegate, and TensorFlow the files it cannot read, from C++ without a way
    to be told not to; what matters of it comes as an exception. Other threads are muted as well, so
    the block must be short.
    """
    with open(os.devnull, "wb") as nowhere, _stderr_sent_to(nowhere):
        yield


@contextlib.contextmanager
def captured_native_stderr() -> Iterator[Callable[[], str]]:
    """Keeps what is written to file descriptor 2 while the block runs.

    Yields:
        A function that returns it, for use after the block.
    """
    text = ""
    with tempfile.TemporaryFile() as file:
        try:
            with _stderr_sent_to(file):
                yield lambda: text
        finally:
            file.seek(0)
            text = file.read().decode(errors="replace")


@contextlib.contextmanager
def _stderr_sent_to(file: IO[bytes]) -> Iterator[None]:
    _flush()
    try:
        saved = os.dup(2)
    except OSError:
        # A process without standard error (a service, a window application) has nothing to redirect.
        yield
        return
    try:
        os.dup2(file.fileno(), 2)
        yield
    finally:
        # Python's own handlers may have buffered lines meant for the file.
        _flush()
        os.dup2(saved, 2)
        os.close(saved)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
