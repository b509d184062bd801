"""int8 tensors and plain int32 arithmetic in LiteRT's operators."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vitsd_export.lowering.operators import Scoped
from vitsd_export.quantization.litert.writer import LiteRTWriter

INT32_MAX = 2**31 - 1
INT8_MIN, INT8_MAX = -128, 127


@dataclasses.dataclass(frozen=True)
class Quantized:
    """An int8 tensor: (integer - zero_point) · scale.

    Attributes:
        index: Index of the tensor in the file.
        shape: Its shape.
        scale: Its step.
        zero_point: The integer that stands for zero.
        row_factor: What each row is still to be multiplied by; None for one.
    """

    index: int
    shape: tuple[int, ...]
    scale: float
    zero_point: int = 0
    row_factor: "Quantized | None" = None


@dataclasses.dataclass(frozen=True)
class FixedPoint:
    """A plain int32 tensor: integer · scale.

    Attributes:
        index: Index of the tensor in the file.
        shape: Its shape.
        scale: Its step.
        bound: The largest magnitude its integers can have, whatever the image.
    """

    index: int
    shape: tuple[int, ...]
    scale: float
    bound: int


class IntegerArithmetic(Scoped):
    """Writes tensors and the arithmetic between them.

    LiteRT's int32 operators are fast where both operands have one shape, or one of them a single number;
    MINIMUM and MAXIMUM only in the first case.

    Args:
        writer: Where they go.
    """

    def __init__(self, writer: LiteRTWriter) -> None:
        self.writer = writer
        self._constants: dict[tuple[object, ...], int] = {}

    def full_name(self, name: str) -> str:
        """A name with those of the scopes around it."""
        return self._scope + name

    def int8(self, name: str, shape: Sequence[int], scale: float, zero_point: int = 0) -> Quantized:
        """Adds an int8 tensor."""
        index = self.writer.tensor(
            self._scope + name, shape, "int8", scale=scale, zero_point=zero_point
        )
        return Quantized(index, tuple(shape), scale, zero_point)

    def int32(self, name: str, shape: Sequence[int]) -> int:
        """Adds a plain int32 tensor."""
        return self.writer.tensor(self._scope + name, shape, "int32")

    def constant(self, values: np.ndarray | Sequence[int]) -> int:
        """Adds plain int32 numbers; equal ones once."""
        array = np.asarray(values, np.int32)
        key = (array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant{len(self._constants)}"
            self._constants[key] = self.writer.tensor(name, array.shape, "int32", values=array)
        return self._constants[key]

    def scalar(self, value: int, like: Sequence[int]) -> int:
        """A single number with as many axes as a shape."""
        return self.constant(np.full((1,) * len(like), value))

    def binary(self, operator: str, x: int, y: int, name: str, shape: Sequence[int]) -> int:
        """ADD, SUB, MUL, MINIMUM, MAXIMUM or RIGHT_SHIFT of plain int32 tensors."""
        options = {
            "RIGHT_SHIFT": None,
            "MINIMUM": "MaximumMinimumOptions",
            "MAXIMUM": "MaximumMinimumOptions",
        }.get(operator, f"{operator.capitalize()}Options")
        return self.writer.operator(operator, [x, y], self.int32(name, shape), options=options)

    def cast(self, x: int, name: str, shape: Sequence[int]) -> int:
        """The integers of a tensor of another type as int32."""
        return self.writer.operator("CAST", [x], self.int32(name, shape), options="CastOptions")

    def shift(self, x: int, by: int, name: str, shape: Sequence[int]) -> int:
        """x / 2^by, rounded to the nearest."""
        if by < 1:
            return x
        half = self.scalar(1 << (by - 1), shape)
        x = self.binary("ADD", x, half, f"{name}/with_half", shape)
        return self.binary("RIGHT_SHIFT", x, self.scalar(by, shape), name, shape)

    def sum(self, x: int, name: str, shape: Sequence[int]) -> int:
        """Sums over the last axis, which stays with one entry."""
        axis = self.constant([len(shape) - 1])
        return self.writer.operator(
            "SUM",
            [x, axis],
            self.int32(name, (*shape[:-1], 1)),
            options="ReducerOptions",
            keepDims=True,
        )

    def look_up(self, x: int, table: np.ndarray, name: str, shape: Sequence[int]) -> int:
        """table[x] for x from 0 on; whatever is beyond the table has its last entry."""
        last = self.constant(np.full(shape, len(table) - 1))
        x = self.binary("MINIMUM", x, last, f"{name}/index", shape)
        return self.writer.operator(
            "GATHER",
            [self.constant(table), x],
            self.int32(name, shape),
            options="GatherOptions",
            axis=0,
        )

    def saturated(self, x: int, name: str, shape: Sequence[int], scale: float) -> Quantized:
        """An int32 tensor as int8, with what lies beyond int8 cut off.

        QUANTIZE would do it as well, and take four times as long.
        """
        highest, lowest = (self.constant(np.full(shape, limit)) for limit in (INT8_MAX, INT8_MIN))
        x = self.binary("MINIMUM", x, highest, f"{name}/at_most", shape)
        x = self.binary("MAXIMUM", x, lowest, f"{name}/at_least", shape)
        y = self.int8(name, shape, scale)
        self.writer.operator("CAST", [x], y.index, options="CastOptions")
        return y

    def int8_operator(self, operator: str, inputs: Sequence[int], output: Quantized) -> Quantized:
        """An operator in its version for int8; returns its output."""
        options = f"{operator.capitalize()}Options"
        self.writer.operator(operator, inputs, output.index, version=2, options=options)
        return output

    def reduced(
        self,
        operator: str,
        x: Quantized,
        axis: int,
        name: str,
        *,
        keep: bool = False,
        scale: float | None = None,
    ) -> Quantized:
        """REDUCE_MAX or MEAN over an axis, which goes or stays with one entry."""
        shape = (*x.shape[:axis], *((1,) if keep else ()), *x.shape[axis + 1 :])
        y = self.int8(name, shape, scale or x.scale, 0 if scale else x.zero_point)
        self.writer.operator(
            operator,
            [x.index, self.constant([axis])],
            y.index,
            version=2,
            options="ReducerOptions",
            keepDims=keep,
        )
        return y

    def fixed(self, x: Quantized | FixedPoint, name: str) -> FixedPoint:
        """An int8 tensor as plain integers, in which zero is zero."""
        if isinstance(x, FixedPoint):
            return x
        index = self.cast(x.index, f"{name}/int32", x.shape)
        if x.zero_point:
            zero = self.scalar(x.zero_point, x.shape)
            index = self.binary("SUB", index, zero, f"{name}/from_zero", x.shape)
        bound = max(INT8_MAX - x.zero_point, x.zero_point - INT8_MIN)
        return FixedPoint(index, x.shape, x.scale, bound)

    def multiplied(self, x: FixedPoint, factor: int, name: str) -> FixedPoint:
        """The same numbers in steps `factor` times as fine."""
        if factor == 1:
            return x
        index = self.binary("MUL", x.index, self.scalar(factor, x.shape), name, x.shape)
        return FixedPoint(index, x.shape, x.scale / factor, x.bound * factor)
