"""Bringing up TensorFlow, and Keras on it."""

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from vitsd_export._internal.tensorflow import import_tensorflow, quiet_converters, use_tensorflow
from vitsd_export.errors import EnvironmentProblem

ON_JAX = """
import os
os.environ["KERAS_BACKEND"] = "jax"
import keras
from vitsd_export._internal.tensorflow import use_tensorflow
from vitsd_export.errors import EnvironmentProblem
try:
    use_tensorflow()
except EnvironmentProblem as error:
    print(error)
"""
LATE = """
import os, sys
os.environ["KERAS_BACKEND"] = "jax"
from vitsd_export._internal.tensorflow import use_tensorflow
use_tensorflow()
import keras
print(keras.config.backend())
"""


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a new interpreter, in the folder of the repository."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )


def test_keras_on_another_backend_is_refused() -> None:
    process = run_python(ON_JAX)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("Keras already runs on jax; exporting needs TensorFlow.")
    assert "KERAS_BACKEND=tensorflow" in process.stdout


def test_the_backend_is_tensorflow_whatever_the_environment_says_and_it_comes_silently() -> None:
    process = run_python(LATE)
    assert (process.returncode, process.stdout, process.stderr) == (0, "tensorflow\n", "")


@pytest.mark.parametrize("bring_up", [import_tensorflow, use_tensorflow])
def test_missing_tensorflow_is_told(
    monkeypatch: pytest.MonkeyPatch, bring_up: Callable[[], object]
) -> None:
    # None makes the import fail as if the package were not there.
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(EnvironmentProblem, match=r"TensorFlow cannot be imported.*Reinstall"):
        bring_up()


def test_converters_are_quiet_and_leave_everything_as_it_was(
    capfd: pytest.CaptureFixture[str],
) -> None:
    logger = logging.getLogger("tensorflow")
    level = logger.level
    with quiet_converters():
        print("to stdout")
        print("to stderr", file=sys.stderr)
        os.write(2, b"from native code\n")
        warnings.warn("of a converter", UserWarning, stacklevel=1)
        logger.error("of TensorFlow")
    print("after")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("after\n", "")
    assert logger.level == level


def test_errors_of_converters_pass(capfd: pytest.CaptureFixture[str]) -> None:
    level = logging.getLogger("tensorflow").level
    with pytest.raises(ValueError, match="wrong"), quiet_converters():
        raise ValueError("wrong")
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == "after\n"
    assert logging.getLogger("tensorflow").level == level
