"""The Python app on a camera's frames; a module of cv2's name stands in for the camera."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.command_line import Artifacts
from tests.support.node_process import REPOSITORY
from tests.support.predictions import predicted
from tests.support.running_apps import Ended, largest_difference
from vitsd_export.data.labels import CIFAR10_CLASSES

CV2 = """
import numpy

class VideoCapture:
    def __init__(self, source):
        assert source in (0, "film.npy")
        # OpenCV's colours are blue, green, red.
        self.frames = iter(numpy.load("film.npy")[..., ::-1]) if source != 0 else None

    def isOpened(self):
        return self.frames is not None

    def read(self):
        frame = next(self.frames, None)
        return frame is not None, frame

    def release(self):
        print("released", flush=True)
"""


@pytest.fixture
def run(exported: Artifacts, tmp_path: Path) -> Callable[..., Ended]:
    def run(cv2: str, *arguments: str) -> Ended:
        (tmp_path / "cv2.py").write_text(cv2)
        app = REPOSITORY / "apps" / "python" / "classify_onnx.py"
        process = subprocess.run(
            [sys.executable, app, exported.onnx, *arguments],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(process.returncode, process.stdout, process.stderr)

    return run


def test_every_frame_is_answered(
    run: Callable[..., Ended],
    exported: Artifacts,
    images: np.ndarray,
    bundled_pictures: list[Path],
    tmp_path: Path,
) -> None:
    np.save(tmp_path / "film.npy", images[:3])
    ended = run(CV2, "--camera", "film.npy", "--json")
    assert (ended.exit_code, ended.errors) == (0, [])
    *lines, last = ended.stdout.splitlines()
    assert last == "released"
    reference = predicted(exported.onnx, bundled_pictures[:3], len(CIFAR10_CLASSES))
    assert len(lines) == 3
    for line, classes in zip(lines, reference.values(), strict=True):
        answers = Ended(0, line, "").answers
        assert largest_difference(answers, {"film.npy": classes}) <= 1e-4


def test_a_camera_that_is_not_there_is_told(run: Callable[..., Ended]) -> None:
    ended = run(CV2, "--camera", "0")
    assert ended.exit_code == 3
    assert "cannot be opened" in ended.errors[0]


def test_opencv_is_asked_for_where_it_is_missing(run: Callable[..., Ended]) -> None:
    ended = run("raise ImportError('not installed')", "--camera", "0")
    assert ended.exit_code == 5
    assert "pip install opencv-python" in ended.errors[0]
