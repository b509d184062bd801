"""Core ML's converter takes a SavedModel as it is. What it makes runs on macOS alone, and was not run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import Artifacts
from vitsd_export.data.labels import CIFAR10_CLASSES
from vitsd_export.deploy.snippets import write_snippet

pytestmark = pytest.mark.slow

# Without their dependencies, which are those of the tests: another TensorFlow would be a gigabyte.
_PACKAGES = ("coremltools==9.0", "sympy", "mpmath", "cattrs", "attrs", "pyaml", "tqdm")
_READ = """
import json, sys, coremltools as ct
description = ct.utils.load_spec(sys.argv[1]).description
image = description.input[0].type.imageType
print(json.dumps([image.width, image.height, [each.name for each in description.output]]))
"""


@pytest.fixture(scope="module")
def python_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with coremltools."""
    folder = tmp_path_factory.mktemp("coremltools")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
    done = subprocess.run([*install, *_PACKAGES], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"coremltools cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    return str(folder)


@pytest.mark.parametrize("precision", ["FLOAT16", "FLOAT32"])
def test_the_printed_code_converts(
    precision: str, exported: Artifacts, python_path: str, tmp_path: Path
) -> None:
    shutil.copytree(exported.saved_model, tmp_path / exported.saved_model.name)
    code = write_snippet("coreml", exported.saved_model)
    assert "ct.precision.FLOAT16," in code
    (tmp_path / "convert.py").write_text(
        code.replace("precision.FLOAT16,", f"precision.{precision},")
    )

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        variables = {**os.environ, "PYTHONPATH": python_path}
        done = subprocess.run(
            command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    run("convert.py")
    described = run("-c", _READ, "classifier.mlpackage")
    assert '[32, 32, ["classLabel", "classLabel_probs"]]' in described
    specification = next((tmp_path / "classifier.mlpackage").rglob("*.mlmodel")).read_bytes()
    assert all(label.encode() in specification for label in CIFAR10_CLASSES)
