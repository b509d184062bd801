"""What a graph costs for one image, counted operator by operator."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from vitsd_export.lowering.graph import Array, Dense, Graph, LayerNorm
from vitsd_export.lowering.operators import Operators
from vitsd_export.lowering.program import compute

_BYTES = 4  # float32
Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Step:
    """One operator.

    Attributes:
        name: Its place in the graph.
        multiply_adds: Multiplications with an addition, in matrix products; other arithmetic is not counted.
        constants: Numbers in its constants, less those that an operator before it has as well.
        bytes: Bytes it reads: its inputs and its constants, in float32.
    """

    name: str
    multiply_adds: int
    constants: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a graph for one image.

    Attributes:
        steps: Every operator that does something; reshaping moves no numbers and is none. A LayerNorm
            counts as the operators it takes where a runtime has none for it.
    """

    steps: tuple[Step, ...]

    @property
    def operators(self) -> int:
        """Number of operators."""
        return len(self.steps)

    @property
    def multiply_adds(self) -> int:
        """Multiplications with an addition."""
        return sum(step.multiply_adds for step in self.steps)

    @property
    def weights(self) -> int:
        """Numbers in constants."""
        return sum(step.constants for step in self.steps)

    @property
    def bytes(self) -> int:
        """Bytes read."""
        return sum(step.bytes for step in self.steps)

    def seconds(self, flops: float, bandwidth: float) -> float:
        """Returns the least time an image can take.

        An operator takes at least what its arithmetic takes, and what it takes to fetch its constants
        from memory; activations stay in the caches (Williams et al., "Roofline", 2009,
        doi:10.1145/1498765.1498785).

        Args:
            flops: Floating-point operations a second; a multiply-add is two.
            bandwidth: Bytes a second from memory.
        """
        return sum(
            max(2 * step.multiply_adds / flops, _BYTES * step.constants / bandwidth)
            for step in self.steps
        )


def cost(graph: Graph) -> Cost:
    """Counts what a graph costs for one image."""
    counter = _Counter()
    compute(graph, counter, (1, graph.input_size, graph.input_size, 3), "answer")
    return Cost(tuple(counter.steps))


class _Counter(Operators):
    """Operators on shapes, which note what they would cost."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._known: set[tuple[Shape, bytes]] = set()

    def _note(self, name: str, *inputs: Shape, multiply_adds: int = 0, constants: int = 0) -> None:
        read = sum(math.prod(shape) for shape in inputs)
        self.steps.append(
            Step(self._scope + name, multiply_adds, constants, _BYTES * (read + constants))
        )

    def pixels(self, image: Shape, name: str) -> Shape:
        self._note(name, image)
        return image

    def dense(self, x: Shape, layer: Dense, name: str) -> Shape:
        bias = 0 if layer.bias is None else layer.bias.size
        rows = math.prod(x[:-1])
        size = int(layer.kernel.size)
        self._note(name, x, multiply_adds=rows * size, constants=size + bias)
        return (*x[:-1], int(layer.kernel.shape[1]))

    def apply_left(self, matrix: Array, x: Shape, name: str) -> Shape:
        size = int(matrix.size)
        self._note(name, x, multiply_adds=x[0] * size * x[2], constants=size)
        return (x[0], len(matrix), x[2])

    def product(self, x: Shape, y: Shape, name: str, *, transpose_y: bool = False) -> Shape:
        columns = y[-2] if transpose_y else y[-1]
        self._note(name, x, y, multiply_adds=math.prod(x) * columns)
        return (*x[:-1], columns)

    def _elementwise(self, x: Shape, y: Any, name: str) -> Shape:
        if isinstance(y, np.ndarray):
            # The mask of all blocks is one, which is stored and fetched once.
            key = (y.shape, y.tobytes())
            self._note(name, x, constants=0 if key in self._known else int(y.size))
            self._known.add(key)
        else:
            self._note(name, x, y)
        return x

    add = subtract = multiply = _elementwise

    def divide_by_root(self, x: Shape, square: Shape, name: str) -> Shape:
        self._note(f"{name}/rsqrt", square)
        self._note(name, x, square)
        return x

    def layer_norm(self, x: Shape, layer: LayerNorm, width: int, name: str) -> Shape:
        rows = (*x[:-1], 1)
        self._note(f"{name}/mean", x)
        self._note(f"{name}/centred", x, rows)
        self._note(f"{name}/square", x)
        self._note(f"{name}/variance", x)
        self._note(f"{name}/epsilon", rows)
        self._note(f"{name}/rsqrt", rows)
        self._note(name, x, rows)
        for part, values in (("gamma", layer.gamma), ("beta", layer.beta)):
            if values is not None:
                self._note(f"{name}/{part}", x, constants=int(values.size))
        return x

    def gelu(self, x: Shape, name: str) -> Shape:
        self._note(name, x)
        return x

    softmax = gelu

    def mean(self, x: Shape, axis: int, name: str) -> Shape:
        self._note(name, x)
        return (*x[:axis], *x[axis + 1 :])

    def reshape(self, x: Shape, shape: Sequence[int], name: str) -> Shape:
        leading = math.prod(x) // math.prod(shape[1:])
        return (leading, *shape[1:])

    def transpose(self, x: Shape, order: Sequence[int], name: str) -> Shape:
        self._note(name, x)
        return tuple(x[axis] for axis in order)

    def shifted_copies(self, x: Shape, by: int, name: str) -> Shape:
        for move in ("up_left", "down_left", "up_right", "down_right"):
            self._note(f"{name}/{move}/cut", x)
            self._note(f"{name}/{move}/pad", x)
        copies = (*x[:-1], 5 * x[-1])
        self._note(name, copies)
        return copies

    def resize(self, x: Shape, old: int, new: int, name: str) -> Shape:
        self._note(name, x)
        return (x[0], new, new, x[3])
