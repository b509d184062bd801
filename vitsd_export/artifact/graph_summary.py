"""What a file's graph is made of, whatever its format."""

import collections
import dataclasses
import math
from collections.abc import Iterable

from vitsd_export.artifact.macs import Product
from vitsd_export.artifact.tensor_info import TensorInfo


@dataclasses.dataclass(frozen=True)
class Constant:
    """A constant tensor.

    Attributes:
        dtype: NumPy name of its type.
        shape: Its sizes.
        bytes: Bytes it takes in the file.
        is_weight: Whether it holds numbers that are computed with, and not a shape or indices.
    """

    dtype: str
    shape: tuple[int, ...]
    bytes: int
    is_weight: bool


@dataclasses.dataclass(frozen=True)
class Weights:
    """Constants of one element type.

    Attributes:
        tensors: Number of tensors.
        elements: Numbers in them.
        bytes: Bytes they take in the file.
    """

    tensors: int
    elements: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class Node:
    """An operator at its place in a graph.

    Attributes:
        name: Name of the node, or of its first output where nodes have none.
        op: Kind of operator.
        inputs: Names of the tensors it takes, constants too.
        outputs: Names of the tensors it gives.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class GraphSummary:
    """Contents of a graph, read without running it.

    Attributes:
        inputs: Inputs in the file's order.
        outputs: Outputs in the file's order.
        ops: How often each operator occurs, subgraphs and called functions included, by falling
            number. An ONNX operator outside the standard domain carries its domain:
            `com.microsoft.MatMulNBits`.
        custom_ops: Operators that are not the format's own: Flex and custom ones in LiteRT, other
            domains in ONNX.
        versions: Versions the file names: `ir_version`, `opset`, `schema`, `producer`, …
        weights: Constants by NumPy name of their type, shapes and indices included.
        parameters: Numbers in the constants that are computed with. Exporters merge, split and add
            constants, so this is not the number of trained weights.
        nodes: The operators of the main graph in the file's order; empty for a SavedModel.
        products: What the main graph multiplies, and in which numbers; empty for a SavedModel.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    ops: dict[str, int]
    custom_ops: tuple[str, ...]
    versions: dict[str, int | str]
    weights: dict[str, Weights]
    parameters: int
    nodes: tuple[Node, ...] = ()
    products: tuple[Product, ...] = ()


def by_falling_number(names: Iterable[str]) -> dict[str, int]:
    """Counts names; the most frequent first, equal ones in the order of the alphabet."""
    return dict(collections.Counter(sorted(names)).most_common())


def group_weights(constants: Iterable[Constant]) -> dict[str, Weights]:
    """Sums up constants by type, in the order of the types' names."""
    groups: dict[str, Weights] = {}
    for constant in constants:
        old = groups.get(constant.dtype, Weights(0, 0, 0))
        elements = old.elements + math.prod(constant.shape)
        groups[constant.dtype] = Weights(old.tensors + 1, elements, old.bytes + constant.bytes)
    return dict(sorted(groups.items()))


def count_parameters(constants: Iterable[Constant]) -> int:
    """Returns how many numbers the constants that are weights hold."""
    return sum(math.prod(constant.shape) for constant in constants if constant.is_weight)
