"""The time that an artifact must take on a machine, from what it multiplies and reads."""

import dataclasses
from collections.abc import Sequence

from vitsd_export.artifact.macs import Product, sum_up
from vitsd_export.measure.benchmark.results import Speed, Work

_INTEGERS = ("int8", "uint8", "int4", "uint4", "int2")


def work_of(products: Sequence[Product], constants: int, speed: Speed | None) -> Work | None:
    """Returns an artifact's work for one image, and its roofline; None if there are no products.

    Each product takes the longer of two times: its operations at the measured rate of its numbers, and its
    weights at the measured bandwidth (the roofline model: Williams, Waterman, Patterson, 2009,
    doi:10.1145/1498765.1498785). Everything that is not a product costs nothing here.

    Args:
        products: What the artifact multiplies for one image.
        constants: Bytes of all its constants.
        speed: Rates of the machine on one thread; None leaves the roofline out.
    """
    if not products:
        return None
    sums = {numbers: group.multiply_adds for numbers, group in sum_up(products).items()}
    roofline = None
    if speed is not None and all(product.multiply_adds is not None for product in products):
        roofline = 1e3 * sum(_seconds(product, speed) for product in products)
    return Work(sums, constants, roofline, None)


def with_share(work: Work, p50: float | None) -> Work:
    """Returns an artifact's work with the share of its roofline that was reached.

    Args:
        p50: Median milliseconds of one image on one thread; None if it was not measured.
    """
    share = None if work.roofline is None or not p50 else work.roofline / p50
    return dataclasses.replace(work, share=share)


def _seconds(product: Product, speed: Speed) -> float:
    rate = speed.flops
    if product.numbers in _INTEGERS and speed.int8_ops is not None:
        rate = speed.int8_ops
    return max(2 * (product.multiply_adds or 0) / rate, product.bytes / speed.bandwidth)
