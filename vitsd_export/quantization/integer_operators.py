"""The operators of a lowered model in LiteRT's integer kernels alone.

| what | how |
|---|---|
| activations | int8, one scale a tensor |
| weights | int8, one scale an output channel; int32 biases |
| residual stream | int32 fixed point; the scale of what is added to it is a multiple of its own |
| LayerNorm | mean and variance exactly, by int32 sums; 1 / √variance from a table |
| softmax | exp from a table, divided by its sum only after the product with the values |
| pixels | int32 fixed point up to the tokenizer's LayerNorm |

int8 is what the kernels of accelerators and XNNPACK work in. What int8 cannot hold, such as the residual
stream of a vision transformer and the squares in its LayerNorms, is plain int32 arithmetic (add,
multiply, sum, shift), which is exact and, by element, no slower than int8. LiteRT's own int8 kernels for
these parts lose the model: SOFTMAX answers in steps of 1/256, which is as much as one of many tokens
gets.

Every int32 result is bounded by what its int8 parts can hold at most, whatever the image: none overflows.
"""

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from vitsd_export.lowering.graph import Array, Dense, LayerNorm
from vitsd_export.lowering.operators import Operators
from vitsd_export.quantization.litert_writer import LiteRTWriter
from vitsd_export.quantization.recording_operators import (
    BIN_EDGES,
    MASKED_BELOW,
    Record,
    Records,
    row_gain,
)

_INT32_MAX = 2**31 - 1
# int8 with zero in the middle; -128 is left out of weights, as the format asks.
_LEVELS = 127
_LOWEST, _HIGHEST = -128, 127
# exp(x - max), and what is made of it, lie between 0 and 1.
_UNIT_SCALE = 1 / 255
# Entries of the tables of 1 / √variance: for tokens, and for patches, of which some are nearly of one
# colour.
_ROOT_TABLE = 1024
_PIXEL_ROOT_TABLE = 8192
# Sums of a row of exponentials, in steps of 1/255, are shifted by so much to look them up.
_SUM_SHIFT = 2
_FRACTION_BITS = 6
_HEADROOM = 1.5


@dataclasses.dataclass(frozen=True)
class Quantized:
    """An int8 tensor.

    Attributes:
        index: Index of the tensor.
        shape: Its shape.
        scale: Its step.
        zero_point: The integer that stands for zero.
        row_factor: What each row is still to be multiplied by; None for one.
    """

    index: int
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    row_factor: "Quantized | None" = None


@dataclasses.dataclass(frozen=True)
class FixedPoint:
    """A plain int32 tensor.

    Attributes:
        index: Index of the tensor.
        shape: Its shape.
        scale: Its step; an array for one a channel of the last axis.
        bound: The largest magnitude its integers can have.
    """

    index: int
    shape: tuple[int, ...]
    scale: float
    bound: int


class IntegerOperators(Operators):
    """Writes operators.

    Args:
        writer: Where they go.
        records: What passes through the graph in float.
        batch: Images in a call.
        patch_length: Numbers in a patch, whose squares must be summed.
        answer: Name of the result.
    """

    def __init__(
        self, writer: LiteRTWriter, records: Records, batch: int, patch_length: int, answer: str
    ) -> None:
        self._writer = writer
        self._records = records
        self._batch = batch
        self._pixel_bound = math.isqrt(_INT32_MAX // patch_length)
        self._answer = answer
        self._scope = ""
        self._constants: dict[tuple[Any, ...], int] = {}
        self._stream: FixedPoint | None = None

    @contextlib.contextmanager
    def _named(self, name: str) -> Any:
        outer, self._scope = self._scope, f"{self._scope}{name}/"
        yield
        self._scope = outer

    def scope(self, name: str) -> contextlib.AbstractContextManager[None]:
        return self._named(name)

    # -- tensors ----------------------------------------------------------------------------------

    def _int32(self, name: str, shape: Sequence[int]) -> int:
        return self._writer.tensor(self._scope + name, shape, "int32")

    def _constant(self, values: Any, name: str = "constant") -> int:
        values = np.asarray(values, np.int32)
        key = (values.shape, values.tobytes())
        if key not in self._constants:
            self._constants[key] = self._writer.tensor(
                f"{name}{len(self._constants)}", values.shape, "int32", values=values
            )
        return self._constants[key]

    def _int8(
        self, name: str, shape: Sequence[int], scale: float, zero_point: int = 0
    ) -> Quantized:
        index = self._writer.tensor(
            self._scope + name, shape, "int8", scale=scale, zero_point=zero_point
        )
        return Quantized(index, tuple(shape), scale, zero_point)

    def _record(self, name: str) -> Record:
        return self._records.tensors[self._scope + name]

    def _symmetric(self, name: str, shape: Sequence[int], record_of: str | None = None) -> Quantized:
        scale = self._scale(record_of or name, _LEVELS)
        return self._int8(name, shape, scale)

    def _scale(self, name: str, levels: int) -> float:
        """The scale of an activation, a multiple of the residual stream's if it is added to that."""
        scale = best_limit(self._record(name), levels) / levels
        if self._stream is not None and self._scope + name in self._records.summands:
            return math.ceil(scale / self._stream.scale - 1e-3) * self._stream.scale
        return scale

    # -- int32 arithmetic -------------------------------------------------------------------------

    def _apply(self, operator: str, name: str, x: int, y: int, shape: Sequence[int]) -> int:
        options = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions"}.get(operator)
        if operator in ("MINIMUM", "MAXIMUM"):
            options = "MaximumMinimumOptions"
        return self._writer.operator(operator, [x, y], self._int32(name, shape), options=options)

    def _cast(self, x: int, name: str, shape: Sequence[int]) -> int:
        """An int8 or int16 tensor's integers as int32."""
        return self._writer.operator("CAST", [x], self._int32(name, shape), options="CastOptions")

    def _shift(self, x: int, by: int, name: str, shape: Sequence[int]) -> int:
        """x / 2^by, rounded."""
        ones = (1,) * len(shape)
        half = self._constant(np.full(ones, 1 << (by - 1)))
        x = self._apply("ADD", f"{name}/half", x, half, shape)
        return self._apply("RIGHT_SHIFT", name, x, self._constant(np.full(ones, by)), shape)

    def _sum(self, x: int, name: str, shape: Sequence[int]) -> int:
        """Sums over the last axis, which stays."""
        axis = self._constant([len(shape) - 1])
        output = self._int32(name, (*shape[:-1], 1))
        return self._writer.operator(
            "SUM", [x, axis], output, options="ReducerOptions", keepDims=True
        )

    def _to_int8(self, x: int, name: str, shape: Sequence[int], scale: float) -> Quantized:
        """An int32 tensor of int8's steps, with what is beyond cut off."""
        rows = int(np.prod(shape[:-1]))
        flat = (rows, shape[-1])
        x = self._apply("MINIMUM", f"{name}/at_most", x, self._constant(np.full(flat, 127)), shape)
        x = self._apply("MAXIMUM", f"{name}/at_least", x, self._constant(np.full(flat, -128)), shape)
        y = self._int8(name, shape, scale)
        self._writer.operator("CAST", [x], y.index, options="CastOptions")
        return y

    def _look_up(self, x: int, table: np.ndarray, name: str, shape: Sequence[int], y: int) -> int:
        """table[x], for x from 0 on; what is beyond the table has its last entry."""
        last = self._constant(np.full(shape, len(table) - 1))
        x = self._apply("MINIMUM", f"{name}/index", x, last, shape)
        if table.dtype == np.int8:
            raise NotImplementedError
        entries = self._constant(table, "table")
        return self._writer.operator("GATHER", [entries, x], y, options="GatherOptions", axis=0)

    def _fixed(self, x: "Quantized | FixedPoint", name: str) -> FixedPoint:
        if isinstance(x, FixedPoint):
            return x
        index = self._cast(x.index, f"{name}/int32", x.shape)
        bound = _HIGHEST - x.zero_point
        if x.zero_point:
            zero = self._constant(np.full((1,) * len(x.shape), x.zero_point))
            index = self._apply("SUB", f"{name}/from_zero", index, zero, x.shape)
        return FixedPoint(index, x.shape, x.scale, max(bound, x.zero_point - _LOWEST))

    # -- operators --------------------------------------------------------------------------------

    def pixels(self, image: Any, name: str) -> FixedPoint:
        index, shape = image
        return FixedPoint(self._cast(index, name, shape), shape, 1.0, 255)

    def subtract(self, x: FixedPoint, y: Any, name: str) -> FixedPoint:
        """x - y of pixels and a constant, with more bits after the point."""
        factor = 1 << _FRACTION_BITS
        constant = np.broadcast_to(np.round(np.asarray(y) * factor / x.scale), x.shape[-1:])
        ones = (1,) * len(x.shape)
        index = self._apply(
            "MUL", f"{name}/finer", x.index, self._constant(np.full(ones, factor)), x.shape
        )
        rows = self._constant(constant.reshape(*ones[:-1], -1))
        index = self._apply("SUB", name, index, rows, x.shape)
        bound = int(max(x.bound * factor, abs(constant).max(), (x.bound * factor - constant).max()))
        return FixedPoint(index, x.shape, x.scale / factor, bound)

    def multiply(self, x: FixedPoint, y: Any, name: str) -> FixedPoint:
        """x · y of pixels and a constant, in as many bits as the tokenizer's LayerNorm takes."""
        factors = np.broadcast_to(np.asarray(y, np.float64), x.shape[-1:])
        largest = x.bound * x.scale * abs(factors).max()
        scale = largest / (self._pixel_bound - 1)
        shift = int(math.log2(_INT32_MAX / 2 / x.bound / (abs(factors).max() * x.scale / scale)))
        constant = np.round(factors * x.scale / scale * 2**shift)
        ones = (1,) * len(x.shape)
        rows = self._constant(constant.reshape(*ones[:-1], -1))
        index = self._apply("MUL", f"{name}/product", x.index, rows, x.shape)
        index = self._shift(index, shift, name, x.shape)
        return FixedPoint(index, x.shape, scale, self._pixel_bound)

    def resize(self, x: FixedPoint, old: int, new: int, name: str) -> FixedPoint:
        shape = (x.shape[0], new, new, x.shape[-1])
        writer, scope = self._writer, self._scope
        short = writer.tensor(f"{scope}{name}/int16", x.shape, "int16", scale=x.scale)
        writer.operator("CAST", [x.index], short, options="CastOptions")
        resized = writer.tensor(f"{scope}{name}/resized", shape, "int16", scale=x.scale)
        size = self._constant([new, new])
        writer.operator(
            "RESIZE_BILINEAR",
            [short, size],
            resized,
            version=4,
            options="ResizeBilinearOptions",
            halfPixelCenters=True,
        )
        return FixedPoint(self._cast(resized, name, shape), shape, x.scale, x.bound)

    def shifted_copies(self, x: FixedPoint, by: int, name: str) -> FixedPoint:
        batch, size, _, channels = x.shape
        copies = [x.index]
        for right in (False, True):
            for down in (False, True):
                begin = [0, 0 if down else by, 0 if right else by, 0]
                shape = (batch, size - by, size - by, channels)
                part = self._int32(f"{name}/part{len(copies)}", shape)
                self._writer.operator(
                    "SLICE",
                    [x.index, self._constant(begin), self._constant(shape)],
                    part,
                    options="SliceOptions",
                )
                pads = [(0, 0), (by, 0) if down else (0, by), (by, 0) if right else (0, by), (0, 0)]
                copy = self._int32(f"{name}/copy{len(copies)}", x.shape)
                self._writer.operator(
                    "PAD", [part, self._constant(pads)], copy, options="PadOptions"
                )
                copies.append(copy)
        shape = (batch, size, size, len(copies) * channels)
        joined = self._int32(name, shape)
        self._writer.operator(
            "CONCATENATION", copies, joined, options="ConcatenationOptions", axis=3
        )
        return FixedPoint(joined, shape, x.scale, x.bound)

    def layer_norm(
        self, x: "Quantized | FixedPoint", layer: LayerNorm, width: int, name: str
    ) -> Quantized:
        if layer.affine:
            raise NotImplementedError
        record, variance = self._record(name), self._record(f"{name}/variance")
        pixels = self._scope == "tokenizer/"
        with self._named(name):
            x = self._fixed(x, "x")
            limit = math.isqrt(_INT32_MAX // width)
            x = self._reduced(x, limit, "x")
            shape, ones = x.shape, (*x.shape[:-1], 1)
            centred = self._apply("SUB", "centred", x.index, self._mean(x, width), shape)
            square = self._apply("MUL", "square", centred, centred, shape)
            squares = self._sum(square, "squares", shape)
            entries = _PIXEL_ROOT_TABLE if pixels else _ROOT_TABLE
            largest = min(variance.high * _HEADROOM * width / x.scale**2, _INT32_MAX)
            shift = max(0, math.ceil(math.log2(largest / entries)))
            steps = (np.arange(entries) + (0.5 if shift else 0)) * 2.0**shift
            steps[0] = max(steps[0], 0.5)
            roots = 1 / np.sqrt(steps * x.scale**2 / width + layer.epsilon)
            scale = best_limit(record, _LEVELS) / _LEVELS
            # centred · root is the answer in steps of 2^-bits; it must not overflow.
            factors = roots * x.scale / scale
            bits = int(math.log2((_INT32_MAX / 2) / (2 * x.bound * factors.max())))
            table = np.round(factors * 2.0**bits)
            if shift:
                amount = self._constant([[shift]])
                squares = self._apply("RIGHT_SHIFT", "index", squares, amount, ones)
            root = self._look_up(squares, table, "root", ones, self._int32("root", ones))
            product = self._apply("MUL", "product", centred, root, shape)
            rounded = self._shift(product, bits, "rounded", shape)
            return self._to_int8(rounded, "normalized", shape, scale)

    def _mean(self, x: FixedPoint, width: int) -> int:
        """The means of the rows, rounded."""
        shape = (*x.shape[:-1], 1)
        total = self._sum(x.index, "sum", x.shape)
        # (sum · reciprocal) / 2^bits
        bits = int(math.log2(_INT32_MAX / 2 / (x.bound * width) * width))
        bits = min(bits, 24)
        reciprocal = self._constant([[round(2**bits / width)]])
        scaled = self._apply("MUL", "sum/scaled", total, reciprocal, shape)
        return self._shift(scaled, bits, "mean", shape)

    def _reduced(self, x: FixedPoint, limit: int, name: str) -> FixedPoint:
        """x in so few bits that it stays within a limit."""
        by = max(0, math.ceil(math.log2(x.bound / limit)))
        if not by:
            return x
        index = self._shift(x.index, by, f"{name}/reduced", x.shape)
        return FixedPoint(index, x.shape, x.scale * 2**by, -(-x.bound // 2**by))

    def dense(self, x: Quantized, layer: Dense, name: str) -> Quantized:
        inputs, outputs = layer.kernel.shape
        y = self._symmetric(name, (x.shape[0], outputs))
        kernel = np.asarray(layer.kernel, np.float64).T
        scales = np.maximum(abs(kernel).max(axis=1), 1e-12) / _LEVELS
        weights = np.clip(np.round(kernel / scales[:, None]), -_LEVELS, _LEVELS)
        tensors = [
            x.index,
            self._writer.tensor(
                f"{self._scope}{name}/kernel", (outputs, inputs), "int8", scale=scales, values=weights
            ),
        ]
        bias = np.zeros(outputs) if layer.bias is None else np.asarray(layer.bias, np.float64)
        steps = scales * x.scale
        tensors.append(
            self._writer.tensor(
                f"{self._scope}{name}/bias",
                (outputs,),
                "int32",
                scale=steps,
                values=np.clip(np.round(bias / steps), -_INT32_MAX, _INT32_MAX),
            )
        )
        self._writer.operator(
            "FULLY_CONNECTED", tensors, y.index, version=4, options="FullyConnectedOptions"
        )
        return y

    def apply_left(self, matrix: Array, x: Any, name: str) -> Any:
        raise NotImplementedError

    def product(self, x: Quantized, y: Quantized, name: str, *, transpose_y: bool = False) -> Quantized:
        shape = (*x.shape[:-1], y.shape[-2] if transpose_y else y.shape[-1])
        unnormalized = x.row_factor is not None
        target = self._symmetric(f"{name}/unnormalized" if unnormalized else name, shape)
        self._writer.operator(
            "BATCH_MATMUL",
            [x.index, y.index],
            target.index,
            version=2,
            options="BatchMatMulOptions",
            adjY=transpose_y,
        )
        if x.row_factor is None:
            return target
        normalized = self._symmetric(name, shape)
        self._writer.operator(
            "MUL", [target.index, x.row_factor.index], normalized.index, version=2, options="MulOptions"
        )
        return normalized

    def add(self, x: Any, y: Any, name: str) -> Any:
        if isinstance(y, np.ndarray) and y.min() < MASKED_BELOW:
            return self._masked(x, y, name)
        with self._named(name):
            stream = self._stream
            if stream is None:
                stream = self._start(x)
            if isinstance(y, np.ndarray):
                steps = np.round(y / stream.scale)
                index = self._apply("ADD", "sum", stream.index, self._constant(steps), x.shape)
                bound = stream.bound + int(abs(steps).max())
                self._stream = FixedPoint(index, x.shape, stream.scale, bound)
                return self._stream
            y = self._fixed(y, "y")
            factor = round(y.scale / stream.scale)
            index = y.index
            if factor != 1:
                ones = (1,) * len(y.shape)
                times = self._constant(np.full(ones, factor))
                index = self._apply("MUL", "y/steps", index, times, y.shape)
            index = self._apply("ADD", "sum", stream.index, index, y.shape)
            self._stream = FixedPoint(
                index, y.shape, stream.scale, stream.bound + factor * y.bound
            )
            return self._stream

    def _start(self, x: Quantized) -> FixedPoint:
        """Begins the residual stream with its first summand."""
        x = self._fixed(x, "x")
        finer = 16
        ones = (1,) * len(x.shape)
        index = self._apply("MUL", "x/finer", x.index, self._constant(np.full(ones, finer)), x.shape)
        return FixedPoint(index, x.shape, x.scale / finer, x.bound * finer)

    def _masked(self, x: Quantized, mask: np.ndarray, name: str) -> Quantized:
        """Scores of which the masked ones are as low as int8 goes."""
        values = np.where(mask < MASKED_BELOW, _LOWEST, 0)
        constant = self._writer.tensor(
            f"{self._scope}{name}/mask", mask.shape, "int8", scale=2 * x.scale, values=values
        )
        y = self._int8(name, x.shape, x.scale, x.zero_point)
        self._writer.operator("ADD", [x.index, constant], y.index, version=2, options="AddOptions")
        return y

    def divide_by_root(self, x: Any, square: Any, name: str) -> Any:
        raise NotImplementedError

    def gelu(self, x: Quantized, name: str) -> Quantized:
        record = self._record(name)
        levels = _HIGHEST - _LOWEST - 1
        scale = self._scale(name, levels)
        zero_point = _LOWEST + math.ceil(min(-record.low, 0.17) / scale)
        y = self._int8(name, x.shape, scale, zero_point)
        return dataclasses.replace(
            y,
            index=self._writer.operator("GELU", [x.index], y.index, version=2, options="GeluOptions"),
        )

    def softmax(self, x: Quantized, name: str) -> Quantized:
        if name == self._answer:
            y = self._int8(name, x.shape, 1 / 256, _LOWEST)
            self._writer.operator(
                "SOFTMAX", [x.index], y.index, version=2, options="SoftmaxOptions", beta=1.0
            )
            return y
        with self._named(name):
            rows = (*x.shape[:-1], 1)
            axis = self._constant([len(x.shape) - 1])
            top = self._int8("largest", rows, x.scale, x.zero_point)
            self._writer.operator(
                "REDUCE_MAX",
                [x.index, axis],
                top.index,
                version=2,
                options="ReducerOptions",
                keepDims=True,
            )
            below = self._int8("below_largest", x.shape, x.scale, _HIGHEST)
            self._writer.operator(
                "SUB", [x.index, top.index], below.index, version=2, options="SubOptions"
            )
            powers = self._int8("powers", x.shape, _UNIT_SCALE, _LOWEST)
            self._writer.operator(
                "EXP", [below.index], powers.index, version=2, options="ExpOptions"
            )
            tokens = x.shape[-1]
            sums = np.arange((255 * tokens >> _SUM_SHIFT) + 1) * 2.0**_SUM_SHIFT / 255
            # No row is empty: its largest power is 1.
            sums = np.maximum(sums, 1)
            gain = self._of_row_sums(powers, row_gain(sums), "gain")
            weights = self._int8("weights", x.shape, _UNIT_SCALE, _LOWEST)
            self._writer.operator(
                "MUL", [powers.index, gain.index], weights.index, version=2, options="MulOptions"
            )
            factor = self._of_row_sums(weights, 1 / sums, "factor")
            return dataclasses.replace(weights, row_factor=factor)

    def _of_row_sums(self, x: Quantized, table: np.ndarray, name: str) -> Quantized:
        """A function between 0 and 1 of the sums of the rows, given by a table."""
        rows = (*x.shape[:-1], 1)
        integers = self._cast(x.index, f"{name}/int32", x.shape)
        total = self._sum(integers, f"{name}/sum", x.shape)
        offset = -_LOWEST * x.shape[-1]
        ones = (1,) * len(x.shape)
        total = self._apply(
            "ADD", f"{name}/from_zero", total, self._constant(np.full(ones, offset)), rows
        )
        by = self._constant(np.full(ones, _SUM_SHIFT))
        index = self._apply("RIGHT_SHIFT", f"{name}/index", total, by, rows)
        entries = np.round(table / _UNIT_SCALE) + _LOWEST
        y = self._int8(name, rows, _UNIT_SCALE, _LOWEST)
        found = self._look_up(
            index, entries, name, rows, self._int32(f"{name}/int32_value", rows)
        )
        self._writer.operator("CAST", [found], y.index, options="CastOptions")
        return y

    def mean(self, x: Quantized, axis: int, name: str) -> Quantized:
        shape = x.shape[:axis] + x.shape[axis + 1 :]
        y = self._symmetric(name, shape)
        self._writer.operator(
            "MEAN",
            [x.index, self._constant([axis])],
            y.index,
            version=2,
            options="ReducerOptions",
            keepDims=False,
        )
        return y

    def reshape(self, x: Any, shape: Sequence[int], name: str) -> Any:
        count = int(np.prod(x.shape))
        known = -int(np.prod(shape))
        new = tuple(count // known if size == -1 else size for size in shape)
        y = self._moved("RESHAPE", x, new, self._constant(new), name, "ReshapeOptions")
        if isinstance(x, Quantized) and x.row_factor is not None:
            rows = (*new[:-1], 1)
            factor = self._moved(
                "RESHAPE", x.row_factor, rows, self._constant(rows), f"{name}/factor", "ReshapeOptions"
            )
            y = dataclasses.replace(y, row_factor=factor)
        return y

    def transpose(self, x: Any, order: Sequence[int], name: str) -> Any:
        shape = tuple(x.shape[axis] for axis in order)
        return self._moved("TRANSPOSE", x, shape, self._constant(order), name, "TransposeOptions")

    def _moved(
        self, operator: str, x: Any, shape: tuple[int, ...], how: int, name: str, options: str
    ) -> Any:
        if isinstance(x, FixedPoint):
            index = self._int32(name, shape)
            y: Any = FixedPoint(index, shape, x.scale, x.bound)
            if x is self._stream:
                self._stream = y
        else:
            y = self._int8(name, shape, x.scale, x.zero_point)
        version = 1 if operator == "RESHAPE" else 2
        self._writer.operator(operator, [x.index, how], y.index, version=version, options=options)
        return y


def best_limit(record: Record, levels: int) -> float:
    """The magnitude at which to cut off so that the mean square error of rounding and cutting is least.

    Args:
        record: The values.
        levels: Steps from zero to the limit.
    """
    return record.largest


_ = BIN_EDGES
