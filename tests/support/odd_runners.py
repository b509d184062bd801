"""Runners for worker processes: one in plain NumPy, and some that do what damaged artifacts do."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from tests.support.tiny_artifacts import CLASSES, SIZE, reference_probabilities
from vitsd_export.artifact.tensor_info import TensorInfo
from vitsd_export.runtimes.base import ImageRunner

HERE = "tests.support.odd_runners"


class NumpyRunner(ImageRunner):
    """The tiny network of the tests in NumPy; its file is not read."""

    packages = ("numpy",)

    def __init__(self, path: Path, *, threads: int | None = None, batch_size: int = 4) -> None:
        super().__init__(
            name="numpy",
            path=path,
            manifest=None,
            inputs=(TensorInfo("image", "uint8", (None, SIZE, SIZE, 3)),),
            outputs=(TensorInfo("probabilities", "float32", (None, CLASSES)),),
            batch_size=batch_size,
        )

    def _run_batch(self, pixels: np.ndarray) -> np.ndarray:
        return reference_probabilities(pixels).astype(np.float32)

    def _release(self) -> None:
        """Holds nothing."""


class FixedBatchRunner(NumpyRunner):
    """Takes two images at a time."""

    def __init__(self, path: Path, *, threads: int | None = None, batch_size: int = 4) -> None:
        super().__init__(path, threads=threads, batch_size=2)
        self.fixed_batch = 2


class SegfaultWhileLoading(NumpyRunner):
    """Dies as a damaged file lets a runtime die."""

    def __init__(self, path: Path, *, threads: int | None = None, batch_size: int = 4) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class AbortWhileRunning(NumpyRunner):
    """Dies as a failed check in a kernel lets a runtime die."""

    def _run_batch(self, pixels: np.ndarray) -> np.ndarray:
        os.abort()


class KilledWhileTimed(NumpyRunner):
    """Answers like the others, but is killed at a call of three images."""

    def _run_batch(self, pixels: np.ndarray) -> np.ndarray:
        if len(pixels) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._run_batch(pixels)


class HangWhileLoading(NumpyRunner):
    """Never comes back."""

    def __init__(self, path: Path, *, threads: int | None = None, batch_size: int = 4) -> None:
        time.sleep(3600)


class EatsMemory(NumpyRunner):
    """Takes more memory than it may have, from native code as from Python."""

    def __init__(self, path: Path, *, threads: int | None = None, batch_size: int = 4) -> None:
        import resource

        import psutil

        limit = psutil.Process().memory_info().vms + (256 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        held = []
        while True:
            held.append(np.ones(1 << 22))


class RaisesWhileLoading(NumpyRunner):
    """Raises what no runner is expected to raise."""

    def __init__(self, path: Path, *, threads: int | None = None, batch_size: int = 4) -> None:
        raise ArithmeticError("the file is of the wrong kind")


class Talks(NumpyRunner):
    """Writes to where the worker's answers would go."""

    def _run_batch(self, pixels: np.ndarray) -> np.ndarray:
        print("a word")
        sys.stdout.flush()
        os.write(1, b"another, from native code\n")
        return super()._run_batch(pixels)


class Missing(NumpyRunner):
    """Of a runtime that is not installed."""

    packages = ("a-package-that-nobody-has",)


class Wide(NumpyRunner):
    """Takes images of another size than the tests'."""

    def __init__(self, path: Path, *, threads: int | None = None, batch_size: int = 4) -> None:
        super().__init__(path, threads=threads, batch_size=batch_size)
        self.image_size = 2 * SIZE


class DiesWhileTelling(NumpyRunner):
    """Answers, and dies when it is asked what ran."""

    def delegation(self) -> None:
        os.abort()
