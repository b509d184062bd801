"""Tests of the time a machine must take, with rates that make it easy to compute by hand."""

import pytest

from vitsd_export.artifact.macs import Product
from vitsd_export.measure.benchmark.results import Speed
from vitsd_export.measure.benchmark.roofline import with_share, work_of

# 1000 multiply-adds of float32 and 4000 of integers a millisecond; 100 bytes a millisecond.
SPEED = Speed(threads=1, flops=2e6, int8_ops=8e6, bandwidth=1e5)
COMPUTE = Product("a", "float32", 5000, 100)
MEMORY = Product("b", "float32", 1000, 900)
INTEGERS = Product("c", "int8", 8000, 10)


def test_each_product_takes_the_longer_of_its_two_times() -> None:
    work = work_of([COMPUTE, MEMORY, INTEGERS], 5000, SPEED)
    assert work is not None
    assert work.roofline == pytest.approx(5 + 9 + 2)
    assert with_share(work, 64.0).share == pytest.approx(16 / 64)
    assert with_share(work, None).share is None
    assert work.multiply_adds == {"float32": 6000, "int8": 8000}
    assert work.bytes == 5000


def test_integers_are_as_fast_as_floats_where_their_rate_is_unknown() -> None:
    speed = Speed(threads=1, flops=2e6, int8_ops=None, bandwidth=1e5)
    work = work_of([INTEGERS], 10, speed)
    assert work is not None
    assert work.roofline == pytest.approx(8)
    assert work.share is None


@pytest.mark.parametrize(
    ("products", "speed"), [([COMPUTE, Product("d", "float32", None, 4)], SPEED), ([COMPUTE], None)]
)
def test_there_is_no_limit_without_shapes_or_rates(
    products: list[Product], speed: Speed | None
) -> None:
    work = work_of(products, 100, speed)
    assert work is not None
    assert (work.roofline, with_share(work, 1.0).share) == (None, None)


def test_there_is_no_work_where_no_product_is_known() -> None:
    assert work_of([], 0, SPEED) is None
