"""Tests of what is told of the machine."""

import os

import numpy as np
import pytest

from vitsd_export.measure.benchmark import machine
from vitsd_export.measure.benchmark.machine import describe_machine


def test_the_machine_is_described_with_its_rates() -> None:
    found = describe_machine([1])
    assert found.processor
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.memory > 1e8
    (speed,) = found.speeds
    assert speed.threads == 1
    # Any processor that runs this does more than a hundredth of a modern one's.
    assert speed.flops > 1e9
    assert speed.bandwidth > 1e8
    assert speed.int8_ops is not None
    assert speed.int8_ops > 1e9


@pytest.mark.parametrize(
    ("flags", "features"),
    [
        ("fpu sse2 avx2 fma avx512f avx512_vnni amx_int8", "amx_int8 avx2 avx512_vnni avx512f fma"),
        ("fp asimd asimddp i8mm crc32", "asimd asimddp i8mm"),
        ("", ""),
    ],
)
def test_the_instructions_that_matter_are_named(flags: str, features: str) -> None:
    assert machine._features(flags) == tuple(features.split())


@pytest.mark.parametrize("integers", [False, True])
def test_what_is_timed_is_a_product(integers: bool) -> None:
    answer = np.asarray(machine._product(3, 64, 5, 1, integers=integers)())[0]
    rng = np.random.default_rng(0)
    if integers:
        weights = rng.integers(-64, 64, (64, 5))
        x = rng.integers(0, 256, (3, 64))
        np.testing.assert_array_equal(answer, x @ weights)
    else:
        weights = rng.normal(size=(64, 5)).astype(np.float32)
        x = rng.normal(size=(3, 64)).astype(np.float32)
        np.testing.assert_allclose(answer, x.astype(np.float64) @ weights, atol=1e-4)
