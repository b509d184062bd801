"""The pictures that the apps are shown, and the Node app."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.node_process import NODE_APP, find_program
from tests.support.odd_pictures import write_odd_pictures


@pytest.fixture(scope="session")
def odd_pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A picture of every kind."""
    return list(write_odd_pictures(tmp_path_factory.mktemp("odd")))


@pytest.fixture(scope="session")
def bundled_pictures(images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The bundled test images as PNG files."""
    folder = tmp_path_factory.mktemp("bundled")
    paths = [folder / f"{index:03}.png" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    return paths


@pytest.fixture(scope="session")
def node_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node app with its packages, in a folder of its own."""
    folder = tmp_path_factory.mktemp("node") / "app"
    shutil.copytree(NODE_APP, folder, ignore=shutil.ignore_patterns("node_modules"))
    install = [find_program("npm"), "ci", "--ignore-scripts"]
    process = subprocess.run(
        install, cwd=folder, capture_output=True, text=True, check=False, timeout=600
    )
    assert process.returncode == 0, process.stderr
    return folder
