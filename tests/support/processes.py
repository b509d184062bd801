"""Python in a process of its own: another backend, or nothing imported yet."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def run_python(code: str, *arguments: object, **environment: str) -> str:
    """Runs code in the repository's root.

    Args:
        code: The program.
        arguments: Its `sys.argv[1:]`.
        environment: Variables it has beside those of this process.

    Returns:
        What it printed on standard output.
    """
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout
