"""Runtimes that users hold, each in a virtual environment of its own, with the versions it is tried in."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

_SCRIPTS = Path(__file__).parent / "scripts"
_ENVIRONMENTS = Path(__file__).parents[2] / "build" / "clients"
_SECONDS = 600


@dataclasses.dataclass(frozen=True)
class Client:
    """A runtime in a certain version.

    Attributes:
        name: Its name in the documentation's table.
        format: The format that it reads.
        requirements: What pip installs for it.
        script: The file in `scripts` that answers images with it.
    """

    name: str
    format: str
    requirements: tuple[str, ...]
    script: str

    @property
    def python(self) -> Path:
        """The interpreter of its environment, which is made when it is asked for first.

        Skips the test where the packages cannot be installed.
        """
        folder = _ENVIRONMENTS / "-".join(self.requirements).replace("==", "-").replace("<", "-")
        python = folder / "bin" / "python"
        done = folder / "installed"
        _ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not done.exists():
                subprocess.run([sys.executable, "-m", "venv", folder], check=True)
                install = [python, "-m", "pip", "install", "--quiet", *self.requirements]
                installed = subprocess.run(install, capture_output=True, text=True, check=False)
                if installed.returncode:
                    reason = installed.stderr.strip().splitlines()[-1:]
                    pytest.skip(f"{', '.join(self.requirements)} cannot be installed: {reason}")
                done.touch()
        return python


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a file in a runtime.

    Attributes:
        answers: Probabilities [N, classes] float32; None if the runtime refused the file.
        message: The runtime's own, if it refused.
    """

    answers: np.ndarray | None
    message: str = ""


def ask(client: Client, artifact: Path, images: Path, folder: Path) -> Outcome:
    """Lets a runtime answer images, in a process of its own.

    Args:
        client: The runtime.
        artifact: The file.
        images: `.npy` file of [N, size, size, 3] uint8.
        folder: Where it may write.
    """
    answers = folder / f"{artifact.name}-{client.script}.npy"
    command = [client.python, _SCRIPTS / client.script, artifact, images, answers]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode < 0:
        return Outcome(None, f"the process ended by signal {-done.returncode}")
    if done.returncode:
        return Outcome(None, " ".join(done.stderr.strip().splitlines()[-1:])[:300])
    return Outcome(np.load(answers))


_OLD_NUMPY = "numpy<2"
CLIENTS = (
    Client("onnxruntime 1.15", "onnx", ("onnxruntime==1.15.1", _OLD_NUMPY), "onnx_runtime.py"),
    Client("onnxruntime 1.20", "onnx", ("onnxruntime==1.20.1",), "onnx_runtime.py"),
    Client("onnx.reference", "onnx", ("onnx==1.22.0",), "onnx_reference.py"),
    Client("OpenCV 4.10", "onnx", ("opencv-python-headless==4.10.0.84", _OLD_NUMPY), "opencv.py"),
    Client("OpenCV 5", "onnx", ("opencv-python-headless==5.0.0.93",), "opencv.py"),
    Client("OpenVINO 2026", "onnx", ("openvino==2026.4.1",), "open_vino.py"),
    Client("tflite-runtime 2.14", "tflite", ("tflite-runtime==2.14.0", _OLD_NUMPY), "litert.py"),
    Client("LiteRT 1.0", "tflite", ("ai-edge-litert==1.0.1", _OLD_NUMPY), "litert.py"),
    Client("LiteRT 1.4", "tflite", ("ai-edge-litert==1.4.0", _OLD_NUMPY), "litert.py"),
    Client("LiteRT 2.3", "tflite", ("ai-edge-litert==2.3.0",), "litert.py"),
    Client("OpenVINO 2026", "tflite", ("openvino==2026.4.1",), "open_vino.py"),
    Client("MediaPipe", "tflite", ("mediapipe==1.2.3",), "media_pipe.py"),
)
