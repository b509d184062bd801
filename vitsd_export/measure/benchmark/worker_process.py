"""The other side of `worker`: starting a worker process, asking it, and telling how it died."""

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Any, BinaryIO, Self, cast

import numpy as np

from vitsd_export._internal.messages import first_line
from vitsd_export.errors import EnvironmentProblem
from vitsd_export.measure.benchmark.messages import read_message, write_message
from vitsd_export.measure.benchmark.pinning import choose_cores

_SECONDS_TO_END = 10
# Bytes of what a worker wrote last that are searched for the reason of its end.
_LAST_WORDS = 8192
# Characters of a reason that a table can hold.
_LONGEST_LINE = 240
_OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "RESOURCE_EXHAUSTED", "Cannot allocate memory")

Received = tuple[dict[str, Any], np.ndarray | None]


class WorkerFailed(Exception):
    """A worker could not do what it was asked; the message is the reason, to be shown in a row."""


class RuntimeMissing(Exception):
    """The runtime is not installed; the message says what is missing."""


class WorkerProcess:
    """A worker process. Used in a `with` block, after which it is gone, whatever happened.

    Args:
        timeout: Seconds that a request may take.

    Raises:
        EnvironmentProblem: If no process can be started.
    """

    def __init__(self, timeout: float) -> None:
        if not sys.executable:
            raise EnvironmentProblem(
                "Worker processes need the Python program, which is unknown (sys.executable is empty). Run "
                "the benchmark from a Python of its own."
            )
        self._timeout = timeout
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        environment = dict(os.environ)
        # Everything importable here is importable there, in the same order; -P adds nothing of its own.
        environment["PYTHONPATH"] = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
        environment.pop("KERAS_BACKEND", None)
        group = {} if sys.platform == "win32" else {"process_group": 0}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "vitsd_export.measure.benchmark.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            **cast(Any, group),
        )
        self._requests = cast(BinaryIO, self._process.stdin)
        self._answers: queue.SimpleQueue[Received | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def _read(self) -> None:
        stream = cast(BinaryIO, self._process.stdout)
        received: Received | None = None
        while True:
            try:
                received = read_message(stream)
            except ValueError:
                # The worker's memory was overwritten: it counts as dead.
                received = None
            self._answers.put(received)
            if received is None:
                return

    def prepare(self, runtime: str, threads: int) -> dict[str, str]:
        """Lets it import a runtime; returns the versions of its packages.

        Raises:
            RuntimeMissing: If it is not installed.
            WorkerFailed: If it cannot be imported for another reason.
        """
        answer, _ = self.ask(
            "importing the runtime",
            "prepare",
            runtime=runtime,
            threads=threads,
            cores=choose_cores(threads),
        )
        if "missing" in answer:
            raise RuntimeMissing(first_line(answer["missing"]))
        return cast(dict[str, str], answer["versions"])

    def ask(
        self, doing: str, request: str, array: np.ndarray | None = None, **values: Any
    ) -> Received:
        """Sends a request and waits for the answer.

        Args:
            doing: What it is about, as in `crashed: SIGSEGV while …`.
            request: A method of `worker.Worker`.
            array: Images that go with it.
            **values: Its arguments, plain values.

        Raises:
            WorkerFailed: If the worker refuses, dies, or takes too long; it is gone in both latter cases.
        """
        try:
            write_message(self._requests, {"do": request, **values}, array)
        except OSError as error:
            raise WorkerFailed(self._cause_of_death(doing)) from error
        try:
            received = self._answers.get(timeout=self._timeout)
        except queue.Empty:
            self.kill()
            raise WorkerFailed(
                f"hung: no answer within {self._timeout:g} s while {doing}"
            ) from None
        if received is None:
            raise WorkerFailed(self._cause_of_death(doing))
        if "error" in received[0]:
            raise WorkerFailed(f"{first_line(received[0]['error'], 400)} (while {doing})")
        return received

    def _cause_of_death(self, doing: str) -> str:
        try:
            code = self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"crashed: its pipe was closed while {doing}"
        words = self._last_words()
        if any(word in words for word in _OUT_OF_MEMORY):
            return f"crashed: out of memory while {doing}"
        if code < 0:
            name = signal.Signals(-code).name
            # Only the system kills a worker in this way.
            hint = ", as the system does when memory is short" if name == "SIGKILL" else ""
            return f"crashed: {name} while {doing}{hint}"
        last = next((line for line in reversed(words.splitlines()) if line.strip()), "")
        return f"crashed: exit code {code} while {doing}" + (
            f": {last.strip()[:_LONGEST_LINE]}" if last else ""
        )

    def _last_words(self) -> str:
        end = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, end - _LAST_WORDS))
        return self._errors.read().decode(errors="replace")

    def kill(self) -> None:
        """Ends the process at once, if it has not ended."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Lets the process end, and ends it if it does not."""
        try:
            self._requests.close()
            self._process.wait(_SECONDS_TO_END)
        except (OSError, subprocess.TimeoutExpired):
            pass
        finally:
            self.kill()
            # A process that the runtime has started may hold the pipe, and with it the reader.
            self._reader.join(_SECONDS_TO_END)
            if not self._reader.is_alive():
                cast(BinaryIO, self._process.stdout).close()
            self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.kill()
        self.close()
