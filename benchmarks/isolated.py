"""Running a step in a process of its own, so that it may crash or hang."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_REASON_LENGTH = 300


@dataclasses.dataclass(frozen=True)
class Made:
    """A file that was to be made.

    Attributes:
        path: Where it lies; None if it could not be made.
        failure: Why it could not; None if it could or was not tried.
        skipped: Why it was not tried; None if it was.
    """

    path: Path | None
    failure: str | None = None
    skipped: str | None = None


def run_module(module: str, arguments: Sequence[str], *, timeout: float) -> str | None:
    """Runs `python -m MODULE ARGUMENTS`, with nothing on the terminal, for at most some seconds.

    Returns:
        None if it went well; else why not, in a line.
    """
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not done after {timeout:g} s"
    if result.returncode == 0:
        return None
    if result.returncode < 0:
        # What a process wrote long before it was killed is not why.
        return f"crashed: {signal.Signals(-result.returncode).name}"
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    return lines[-1][:_REASON_LENGTH] if lines else f"exit code {result.returncode}"
