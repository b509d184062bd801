"""Tests that light modules stay light."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("keras", "tensorflow", "pyarrow", "PIL")
ROOT = Path(__file__).parents[2]


def loaded_by(statement: str) -> set[str]:
    report = f"{statement}; import sys; print(*(set({HEAVY!r}) & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", report], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "module", ["", ".dataset", ".labels", ".cifar", ".detection", ".tarball", ".sources", ".sample"]
)
def test_light_modules_import_nothing_heavy(module: str) -> None:
    assert loaded_by(f"import vitsd_export.data{module}") == set()


@pytest.mark.parametrize("module", ["image_folder", "folder_split"])
def test_images_import_pillow_alone(module: str) -> None:
    assert loaded_by(f"import vitsd_export.data.{module}") == {"PIL"}


def test_loading_imports_neither_keras_nor_tensorflow() -> None:
    statement = "from vitsd_export.data.sample import load_sample; load_sample('verification')"
    assert loaded_by(statement) == {"PIL", "pyarrow"}
