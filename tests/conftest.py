"""Fixtures of all tests: the bundled images, a small model, and one export of everything of each."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Before NumPy, TensorFlow and Keras are imported anywhere: whoever comes first chooses for all.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A shell starts what it puts into the background with interrupts ignored, and all its children would be.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The tests run in a process a core, and more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import numpy as np
import pytest

from tests.support.command_line import Artifacts, export_everything_once
from tests.support.keras_models import TINY_MODEL, write_small_model
from tests.support.made_once import common_folder, made_once

if TYPE_CHECKING:
    from playwright.sync_api import Browser


pytest_plugins = ["tests.support.fixtures", "tests.support.source_fixtures"]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Calibrations are kept for the tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        folder = common_folder(tmp_path_factory) / "calibrations"
        folder.mkdir(exist_ok=True)
        patch.setenv("VITSD_EXPORT_CACHE", str(folder))
        yield


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """The bundled test images, [500, 32, 32, 3] uint8."""
    from vitsd_export.data.sample import load_sample

    return load_sample("verification").images


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """What `vitsd-export all` makes of the small bundled model. Tests leave it as it is."""
    return export_everything_once(tmp_path_factory, "exported", TINY_MODEL, TINY_MODEL)


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .keras file of a small untrained transformer. Tests leave it as it is."""

    def write(folder: Path) -> None:
        write_small_model(folder / "small.keras")

    return made_once(tmp_path_factory, "small", write) / "small.keras"


@pytest.fixture(scope="session")
def small_artifacts(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """What `vitsd-export all` makes of the small model. Tests leave it as it is."""
    return export_everything_once(tmp_path_factory, "small-artifacts", small_model, "small")


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """A headless Chromium; tests open a page or a context of their own."""
    from tests.support.browser import open_browser

    with open_browser() as opened:
        yield opened
