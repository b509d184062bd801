"""What a graph multiplies, and in which numbers."""

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Product:
    """An operator that multiplies matrices: a dense layer, a convolution, or two activations.

    Attributes:
        name: The operator's place in the graph.
        numbers: What it computes with, by the narrower operand: `float32`, `int8`, `int4`, …
        multiply_adds: Multiplications with an addition, for one image; None where a shape is not known.
        bytes: Bytes that its constant operand takes in the file; 0 if both are activations.
    """

    name: str
    numbers: str
    multiply_adds: int | None
    bytes: int


@dataclasses.dataclass(frozen=True)
class Arithmetic:
    """All products in one kind of numbers.

    Attributes:
        operators: How many there are.
        multiply_adds: Multiplications with an addition, for one image; None where a shape is not known.
        bytes: Bytes that their constants take in the file.
    """

    operators: int
    multiply_adds: int | None
    bytes: int


def sum_up(products: Iterable[Product]) -> dict[str, Arithmetic]:
    """Returns the arithmetic in each kind of numbers, in the order of the kinds' names."""
    groups: dict[str, list[Product]] = {}
    for product in products:
        groups.setdefault(product.numbers, []).append(product)
    arithmetic = {}
    for numbers, group in sorted(groups.items()):
        adds = [product.multiply_adds for product in group]
        total = None if None in adds else sum(filter(None, adds))
        arithmetic[numbers] = Arithmetic(len(group), total, sum(each.bytes for each in group))
    return arithmetic
