"""Running a step in a process of its own, so that it may crash or hang."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

_REASON_LENGTH = 300


def run_module(module: str, arguments: Sequence[str], *, timeout: float) -> str | None:
    """Runs `python -m MODULE ARGUMENTS`, with nothing on the terminal.

    Args:
        module: Name of the module.
        arguments: Its arguments.
        timeout: Seconds after which it is ended.

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
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    last = lines[-1][:_REASON_LENGTH] if lines else f"exit code {result.returncode}"
    if result.returncode < 0:
        try:
            name = signal.Signals(-result.returncode).name
        except ValueError:
            name = f"signal {-result.returncode}"
        # What a process wrote long before it was killed is not why.
        return f"crashed: {name}"
    return last
