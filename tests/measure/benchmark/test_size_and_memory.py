"""Tests of sizes and of memory."""

import gzip
import os
from pathlib import Path

import numpy as np
import psutil
import pytest

from vitsd_export.measure.benchmark import memory
from vitsd_export.measure.benchmark.memory import (
    available_memory,
    peak_bytes,
    reset_peak,
    resident_bytes,
)
from vitsd_export.measure.benchmark.pinning import choose_cores
from vitsd_export.measure.benchmark.settings import available_cores
from vitsd_export.measure.benchmark.size import measure_size


def test_the_size_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(5000)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "noise").write_bytes(noise)
    (tmp_path / "zeros").write_bytes(bytes(5000))
    size = measure_size(tmp_path)
    assert size.bytes == 10_000
    # Noise cannot be compressed, zeros to next to nothing.
    assert 5000 < size.compressed < 5200
    assert size.compressed == sum(len(gzip.compress(part)) for part in (noise, bytes(5000)))


def test_a_file_has_its_own_size(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 77)
    assert measure_size(file).bytes == 77


def test_the_peak_shows_memory_that_was_given_back() -> None:
    reset_peak()
    before = resident_bytes()
    # So large that the allocator cannot take it from what it has kept.
    block = np.ones(80_000_000 // 8)
    del block
    assert peak_bytes() >= before + 60_000_000


def test_a_reset_peak_starts_again_from_now() -> None:
    block = np.ones(60_000_000 // 8)
    high = peak_bytes()
    del block
    reset_peak()
    if not os.access("/proc/self/clear_refs", os.W_OK):
        assert peak_bytes() >= high
        return
    assert peak_bytes() <= high - 40_000_000
    assert abs(peak_bytes() - resident_bytes()) < 20_000_000


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("2000000\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert available_memory() == 3_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert 3_000_000 < available_memory() <= psutil.virtual_memory().total


def test_cores_are_chosen_among_those_of_the_process() -> None:
    cores = available_cores()
    assert len(choose_cores(1)) == 1
    assert set(choose_cores(len(cores))) == set(cores)
    assert choose_cores(1) == choose_cores(len(cores))[:1]
