"""Runs JavaScript in Node; skipped where there is none, unless CI is set, which must have it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
NODE_APP = REPOSITORY / "apps" / "node"


def find_program(name: str) -> str:
    """Returns where `node` or `npm` is; skips the test where there is none."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI needs {name}: apt-get install nodejs npm")
        pytest.skip(f"no {name} on this machine")
    return found


def run_script(script: str, folder: Path, *arguments: object, stdin: bytes = b"") -> bytes:
    """Runs an ES module of that text in a folder; returns its standard output."""
    file = folder / "script.mjs"
    file.write_text(script)
    process = subprocess.run(
        [find_program("node"), file, *map(str, arguments)],
        cwd=folder,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr.decode()
    return process.stdout
