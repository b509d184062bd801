"""Tests of finding runners by name."""

import sys
from pathlib import Path

import pytest

from vitsd_export.errors import UsageError
from vitsd_export.runtimes.base import ImageRunner
from vitsd_export.runtimes.registry import find_runner, runner_names


@pytest.mark.parametrize("name", runner_names())
def test_every_name_leads_to_a_runner_that_says_what_it_reads(name: str) -> None:
    runner = find_runner(name)
    assert issubclass(runner, ImageRunner)
    assert runner.formats
    assert runner.packages


def test_a_runner_of_another_package_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "far_runtime-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: far-runtime\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vitsd_export.runners]\nfar = far_runtime:FarRunner\n")
    (tmp_path / "far_runtime.py").write_text(
        "from vitsd_export.runtimes.onnxruntime_runner import OnnxRuntimeRunner\n"
        "class FarRunner(OnnxRuntimeRunner):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert "far" in runner_names()
        assert find_runner("far").__name__ == "FarRunner"
    finally:
        sys.modules.pop("far_runtime", None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tensorrt", "There is no runtime 'tensorrt'. Runtimes: onnxruntime"),
        ("pathlib:Path", "pathlib:Path is not a runner"),
        ("pathlib:Nothing", "pathlib:Nothing is not a runner"),
    ],
)
def test_what_is_no_runner_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_runner(name)


def test_a_module_that_is_missing_is_an_import_error() -> None:
    with pytest.raises(ImportError):
        find_runner("no_such_module:Runner")
