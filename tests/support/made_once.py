"""Folders that are expensive to fill, filled once for all processes of a test run."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def common_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder of the whole run, which all processes of pytest-xdist see."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Returns a folder that the first process to ask for it has filled.

    The others wait meanwhile. Where it failed, the next one that asks starts anew.

    Args:
        factory: Pytest's own.
        name: The folder's name.
        make: Fills the folder, which is there and empty.
    """
    folder = common_folder(factory) / name
    finished = folder.with_name(f"{name}.finished")
    with FileLock(folder.with_name(f"{name}.lock")):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            finished.touch()
    return folder
