"""Small CIFAR-like data for the tests of the loaders."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.cifar_layouts import Rows, random_images


@pytest.fixture(scope="session")
def cifar10_rows() -> dict[str, Rows]:
    """13 training and 6 test images of random pixels, with labels of all classes."""
    return {
        "train": (random_images(13, 1), np.arange(13) * 7 % 10),
        "test": (random_images(6, 2), np.array([9, 0, 3, 3, 8, 1])),
    }


@pytest.fixture(scope="session")
def cifar100_rows() -> dict[str, Rows]:
    """8 training and 5 test images of random pixels, with fine labels."""
    return {
        "train": (random_images(8, 3), np.array([99, 0, 42, 7, 10, 55, 71, 98])),
        "test": (random_images(5, 4), np.array([13, 99, 0, 64, 27])),
    }


@pytest.fixture
def keras_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Points KERAS_HOME at a folder that does not exist yet; returns its `datasets`."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "datasets"
