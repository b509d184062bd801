"""Makers of files that do what tests need, run in processes of their own."""

import os
import shutil
import signal
import time
from pathlib import Path

from vitsd_export.errors import InputError


def copy(source: str, target: Path) -> None:
    """Copies the source."""
    shutil.copyfile(source, target)


def crash(source: str, target: Path) -> None:
    """Ends as a fault in native code does, with half a file written."""
    target.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGSEGV)


def refuse(source: str, target: Path) -> None:
    """Says why it cannot."""
    raise InputError("There is no such operator.")


def forget(source: str, target: Path) -> None:
    """Writes nothing, and is content."""


def hang(source: str, target: Path) -> None:
    """Writes its number to the source, and never ends."""
    Path(source).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(3600)
