"""A process with one artifact in one runtime; see `worker_process`.

It answers requests on standard input, one after the other, until its end. What a runtime prints goes to
standard error. An unexpected exception ends the process; the other side reports it.
"""

import ctypes
import dataclasses
import importlib.metadata
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vitsd_export.errors import EnvironmentProblem, VitsdExportError
from vitsd_export.measure.benchmark.latency import time_call
from vitsd_export.measure.benchmark.memory import peak_bytes, reset_peak, resident_bytes
from vitsd_export.measure.benchmark.messages import read_message, write_message
from vitsd_export.measure.benchmark.pinning import pin
from vitsd_export.measure.benchmark.warmup import warm_up
from vitsd_export.runtimes.base import ImageRunner
from vitsd_export.runtimes.registry import find_runner

_SIGNAL_WHEN_PARENT_ENDS = 1

Answer = tuple[dict[str, Any], np.ndarray | None]


class Worker:
    """What a worker does on each request: a method a request."""

    def __init__(self) -> None:
        self._kind: type[ImageRunner] | None = None
        self._runner: ImageRunner | None = None
        self._images = np.empty((0, 0, 0, 3), np.uint8)
        self._threads = 1

    def prepare(self, runtime: str, threads: int, cores: list[int]) -> Answer:
        """Binds the process to cores and imports a runtime."""
        pin(tuple(cores))
        try:
            kind = find_runner(runtime)
            kind.prepare(threads)
            versions = {name: importlib.metadata.version(name) for name in kind.packages}
        except (ImportError, EnvironmentProblem) as error:
            return {"missing": f"{runtime} cannot be imported: {error}"}, None
        self._kind, self._threads = kind, threads
        return {"versions": versions}, None

    def load(self, path: str, batch_size: int) -> Answer:
        """Opens the artifact."""
        if self._kind is None:
            raise ValueError("no runtime has been imported")
        before = resident_bytes()
        reset_peak()
        kind = self._kind

        def open_artifact() -> None:
            self._runner = kind.open(Path(path), threads=self._threads, batch_size=batch_size)

        milliseconds = time_call(open_artifact)
        runner = self._opened()
        return {
            "load": milliseconds,
            "rss_before": before,
            "rss_load": peak_bytes(),
            "image_size": runner.image_size,
            "classes": runner.num_classes,
            "fixed_batch": runner.fixed_batch,
        }, None

    def keep(self, images: np.ndarray) -> Answer:
        """Keeps the images that are timed."""
        self._images = images
        return {}, None

    def first(self) -> Answer:
        """Times the first inference."""
        return {"first": self._call(1)}, None

    def warm(self, batch: int, change: float, group: int, limit: float) -> Answer:
        """Calls until the times are steady; `limit` in milliseconds."""
        outcome = warm_up(lambda: self._call(batch), change=change, group=group, limit=limit)
        return dataclasses.asdict(outcome), None

    def turn(self, batch: int, lead: int, calls: int) -> Answer:
        """Makes `lead` calls that are not counted, and some that are."""
        for _ in range(lead):
            self._call(batch)
        return {"milliseconds": [self._call(batch) for _ in range(calls)]}, None

    def memory(self) -> Answer:
        """Tells the peak of the resident set since the artifact was loaded."""
        return {"rss": peak_bytes()}, None

    def answer(self, images: np.ndarray) -> Answer:
        """Answers images with probabilities."""
        return {}, self._opened().probabilities(images)

    def delegation(self) -> Answer:
        """Asks the runtime what really ran."""
        delegation = self._opened().delegation()
        return {"delegation": None if delegation is None else vars(delegation)}, None

    def products(self, path: str) -> Answer:
        """Reads what an artifact multiplies."""
        from vitsd_export.artifact.inspection import inspect_artifact

        info = inspect_artifact(Path(path))
        constants = sum(group.bytes for group in info.graph.weights.values())
        products = [
            [product.numbers, product.multiply_adds, product.bytes]
            for product in info.graph.products
        ]
        return {"products": products, "constants": constants}, None

    def _opened(self) -> ImageRunner:
        if self._runner is None:
            raise ValueError("no artifact has been loaded")
        return self._runner

    def _call(self, batch: int) -> float:
        run, images = self._opened().run, self._images[:batch]
        return time_call(lambda: run(images))


def _handle(worker: Worker, request: dict[str, Any], array: np.ndarray | None) -> Answer:
    method: Callable[..., Answer] = getattr(worker, request.pop("do"))
    if array is not None:
        request["images"] = array
    try:
        return method(**request)
    except VitsdExportError as error:
        return {"error": str(error)}, None
    except MemoryError:
        return {"error": "out of memory"}, None


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers requests until their stream ends."""
    worker = Worker()
    while (received := read_message(requests)) is not None:
        write_message(answers, *_handle(worker, *received))


def _die_with_parent() -> None:
    """Ends this process when the one that started it is gone, even during a call that hangs (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SIGNAL_WHEN_PARENT_ENDS, signal.SIGKILL)


def main() -> None:
    """Serves on the standard streams, which nothing else may use then."""
    _die_with_parent()
    # An interrupt is the other side's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    serve(requests, answers)


if __name__ == "__main__":
    main()
