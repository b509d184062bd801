"""Steps in processes of their own."""

import os
from pathlib import Path

import pytest

from benchmarks.isolated import run_module


def test_what_goes_well_gives_no_reason(tmp_path: Path) -> None:
    assert run_module("compileall", ["-q", str(tmp_path)], timeout=60) is None


def test_last_line_of_the_error_is_the_reason() -> None:
    reason = run_module("benchmarks.baselines", ["no.such.module:f", "a", "b"], timeout=60)
    assert reason is not None
    assert "No module named 'no'" in reason
    assert "\n" not in reason


def test_hanging_step_is_ended(tmp_path: Path) -> None:
    arguments = [
        "tests.support.baseline_makers:hang",
        str(tmp_path / "pid"),
        str(tmp_path / "target"),
    ]
    assert run_module("benchmarks.baselines", arguments, timeout=5) == "not done after 5 s"
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
