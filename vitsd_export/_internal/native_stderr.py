"""Keeping native libraries from writing to the process's standard error."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def quiet_native_stderr() -> Iterator[None]:
    """Sends what is written to file descriptor 2 to nowhere while the block runs.

    LiteRT announces its delegate, and TensorFlow the files it cannot read, from C++ without a way
    to be told not to; what matters of it comes as an exception. Other threads are muted as well, so
    the block must be short.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:
        # A process without standard error (a service, a window application) has nothing to mute.
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        # Python's own handlers may have buffered lines meant for nowhere.
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)


@contextlib.contextmanager
def captured_native_stderr() -> Iterator[Callable[[], str]]:
    """Keeps what is written to file descriptor 2 while the block runs.

    Yields:
        A function that returns it, for use after the block.
    """
    text = ""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:
        # No standard error: there is nothing to keep.
        yield lambda: text
        return
    with tempfile.TemporaryFile() as file:
        try:
            os.dup2(file.fileno(), 2)
            yield lambda: text
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            text = file.read().decode(errors="replace")
