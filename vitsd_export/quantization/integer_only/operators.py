"""The operators of a lowered model in LiteRT's integer operators alone.

| what | how |
|---|---|
| activations | int8, a scale a tensor |
| weights | int8, a scale an output channel; int32 biases |
| residual stream | int32, in steps so fine that what is added keeps its own |
| LayerNorm | exact sums in int32; 1 / √variance from a table |
| softmax | in int8, rows divided by their sums after the product with the values: `integer_attention` |
| pixels | int32 up to the tokenizer's LayerNorm |

XNNPACK and accelerators work in int8. What int8 cannot hold, such as a vision transformer's residual stream
and the squares in its LayerNorms, is plain int32 arithmetic, which is exact and in LiteRT as fast. Its own
quantized operators for these parts are neither: SOFTMAX answers in steps of 1/256, about what one of many
tokens gets; int16 ADD, MUL, MEAN and QUANTIZE take ten to forty times as long as int32 ones.

All int32 results are bounded by what the int8 numbers that they come from can hold at most, so that none
overflows, whatever the image.
"""

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vitsd_export.lowering.graph import Array, Dense, LayerNorm
from vitsd_export.lowering.operators import Operators
from vitsd_export.quantization.calibration.ranges import Activation, Calibration
from vitsd_export.quantization.integer_only.arithmetic import (
    INT8_MAX,
    INT8_MIN,
    INT32_MAX,
    FixedPoint,
    IntegerArithmetic,
    Quantized,
)
from vitsd_export.quantization.integer_only.attention import (
    attention_weights,
    masked_scores,
)
from vitsd_export.quantization.litert.writer import LiteRTWriter
from vitsd_export.quantization.rounding import round_columns
from vitsd_export.quantization.row_gain import MASKED_BELOW

# Numbers from -127 to 127, as the format asks of weights.
_LEVELS = INT8_MAX
# GELU's least value, at -0.75.
_GELU_LOW = -0.17
# Entries of the tables of 1 / √variance. The variances of an image's patches, some of nearly one colour,
# differ more than those of its tokens.
_TOKEN_ROOTS, _PATCH_ROOTS = 1024, 8192
# Variances up to so much above the largest of all calibration images are in the table.
_VARIANCE_MARGIN = 1.5
# The residual stream's steps are so much finer than those of its first summand. The scales of others become
# whole multiples of them, which changes these by a few thousandths at most.
_STREAM_FINER = 1024
# Steps between two grey levels while the pixels' mean is taken away.
_PIXEL_FRACTION = 64


class IntegerOperators(Operators):
    """Writes the operators.

    Args:
        writer: Where they go.
        calibration: What passes through the same program, by `RecordingOperators`. Ranges are taken as they
            are given.
        patch_length: Numbers in a patch, whose squares the tokenizer's LayerNorm sums.
        answer: Name of the result; a softmax of that name is the classifier's, others are attention's.
    """

    def __init__(
        self,
        writer: LiteRTWriter,
        calibration: Calibration,
        patch_length: int,
        answer: str,
    ) -> None:
        self._arithmetic = IntegerArithmetic(writer)
        self._writer = writer
        self._calibration = calibration
        self._patch_length = patch_length
        self._answer = answer

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        with self._arithmetic.scope(name):
            yield

    def _activation(self, name: str) -> Activation:
        return self._calibration.activations[self._arithmetic.full_name(name)]

    def _scale(self, name: str) -> float:
        """The scale of an activation with zero in the middle."""
        activation = self._activation(name)
        # Of nothing but zeros any scale will do.
        return (max(-activation.low, activation.high) or 1.0) / _LEVELS

    def _symmetric(self, name: str, shape: Sequence[int]) -> Quantized:
        """An int8 tensor with zero in the middle; XNNPACK takes no other as a product's second operand."""
        return self._arithmetic.int8(name, shape, self._scale(name))

    def pixels(self, image: Quantized, name: str) -> FixedPoint:
        index = self._arithmetic.cast(image.index, name, image.shape)
        return FixedPoint(index, image.shape, 1.0, np.iinfo(np.uint8).max)

    def subtract(self, x: FixedPoint, y: Any, name: str) -> FixedPoint:
        finer = self._arithmetic.multiplied(x, _PIXEL_FRACTION, f"{name}/finer")
        steps = np.round(_of_channels(y, x.shape) / finer.scale)
        index = self._arithmetic.binary(
            "SUB", finer.index, self._arithmetic.constant(steps), name, x.shape
        )
        bound = int(max(np.abs(steps).max(), np.abs(finer.bound - steps).max()))
        return FixedPoint(index, x.shape, finer.scale, bound)

    def multiply(self, x: FixedPoint, y: Any, name: str) -> FixedPoint:
        if not isinstance(x, FixedPoint):
            raise TypeError("int8 is multiplied by no constant: the temperature must be folded")
        factors = _of_channels(y, x.shape) * x.scale
        # As fine as the tokenizer's LayerNorm can take it.
        bound = _square_limit(self._patch_length) - 1
        scale = x.bound * np.abs(factors).max() / bound
        bits = int(math.log2(INT32_MAX / 2 / bound))
        integers = np.round(factors / scale * 2**bits)
        index = self._arithmetic.binary(
            "MUL", x.index, self._arithmetic.constant(integers), f"{name}/product", x.shape
        )
        index = self._arithmetic.shift(index, bits, name, x.shape)
        return FixedPoint(index, x.shape, float(scale), bound + 1)

    def resize(self, x: FixedPoint, old: int, new: int, name: str) -> FixedPoint:
        shape = (x.shape[0], new, new, x.shape[-1])
        # By int16, which LiteRT resizes; the bound of `multiply` is far below its limit.
        named = self._arithmetic.full_name(name)
        given = self._writer.tensor(f"{named}/int16", x.shape, "int16", scale=x.scale)
        self._writer.operator("CAST", [x.index], given, options="CastOptions")
        resized = self._writer.operator(
            "RESIZE_BILINEAR",
            [given, self._arithmetic.constant([new, new])],
            self._writer.tensor(f"{named}/resized", shape, "int16", scale=x.scale),
            version=4,
            options="ResizeBilinearOptions",
            halfPixelCenters=True,
        )
        return FixedPoint(self._arithmetic.cast(resized, name, shape), shape, x.scale, x.bound)

    def shifted_copies(self, x: FixedPoint, by: int, name: str) -> FixedPoint:
        arithmetic, writer = self._arithmetic, self._writer
        batch, size, _, channels = x.shape
        part = (batch, size - by, size - by, channels)
        start, end = (by, (0, by)), (0, (by, 0))
        copies = [x.index]
        with arithmetic.scope(name):
            for left, pad_columns in (start, end):
                for top, pad_rows in (start, end):
                    number = len(copies)
                    begin = arithmetic.constant([0, top, left, 0])
                    kept = writer.operator(
                        "SLICE",
                        [x.index, begin, arithmetic.constant(part)],
                        arithmetic.int32(f"part{number}", part),
                        options="SliceOptions",
                    )
                    pads = np.array([(0, 0), pad_rows, pad_columns, (0, 0)])
                    copy = arithmetic.int32(f"copy{number}", x.shape)
                    writer.operator(
                        "PAD", [kept, arithmetic.constant(pads)], copy, options="PadOptions"
                    )
                    copies.append(copy)
            shape = (batch, size, size, len(copies) * channels)
            joined = arithmetic.int32("joined", shape)
        writer.operator("CONCATENATION", copies, joined, options="ConcatenationOptions", axis=3)
        return FixedPoint(joined, shape, x.scale, x.bound)

    def layer_norm(
        self, x: Quantized | FixedPoint, layer: LayerNorm, width: int, name: str
    ) -> Quantized:
        if layer.affine:
            raise TypeError("γ and β must be folded into the layers that follow")
        arithmetic = self._arithmetic
        scale = self._scale(name)
        largest = self._activation(f"{name}/variance").high
        entries = _PATCH_ROOTS if width == self._patch_length else _TOKEN_ROOTS
        with arithmetic.scope(name):
            x = self._fitted(arithmetic.fixed(x, "input"), _square_limit(width))
            one_each = (*x.shape[:-1], 1)
            centred = arithmetic.binary("SUB", x.index, self._mean(x), "centred", x.shape)
            square = arithmetic.binary("MUL", centred, centred, "square", x.shape)
            squares = arithmetic.sum(square, "squares", x.shape)
            squares_at_most = min(largest * _VARIANCE_MARGIN * width / x.scale**2, INT32_MAX)
            shift = max(0, math.ceil(math.log2(max(squares_at_most, 1) / entries)))
            if shift:
                by = arithmetic.scalar(shift, one_each)
                squares = arithmetic.binary("RIGHT_SHIFT", squares, by, "squares/index", one_each)
            # Of what the shift makes one, the middle.
            steps = np.maximum((np.arange(entries) + (0.5 if shift else 0)) * 2.0**shift, 0.5)
            roots = x.scale / np.sqrt(steps * x.scale**2 / width + layer.epsilon) / scale
            bits = int(math.log2(INT32_MAX / 2 / (2 * x.bound * roots.max())))
            root = arithmetic.look_up(squares, np.round(roots * 2.0**bits), "root", one_each)
            product = arithmetic.binary("MUL", centred, root, "product", x.shape)
            product = arithmetic.shift(product, bits, "rounded", x.shape)
            return arithmetic.saturated(product, "normalized", x.shape, scale)

    def _mean(self, x: FixedPoint) -> int:
        """The means of the rows, to the nearest step."""
        shape = (*x.shape[:-1], 1)
        total = self._arithmetic.sum(x.index, "sum", x.shape)
        bits = int(math.log2(INT32_MAX / 2 / x.bound))
        reciprocal = self._arithmetic.scalar(round(2**bits / x.shape[-1]), shape)
        scaled = self._arithmetic.binary("MUL", total, reciprocal, "sum/scaled", shape)
        return self._arithmetic.shift(scaled, bits, "mean", shape)

    def _fitted(self, x: FixedPoint, limit: int) -> FixedPoint:
        """x in steps as fine as a limit allows, so that its mean can be told from them."""
        if x.bound <= limit:
            return self._arithmetic.multiplied(x, limit // x.bound, "finer")
        bits = math.ceil(math.log2(x.bound / limit))
        index = self._arithmetic.shift(x.index, bits, "coarser", x.shape)
        return FixedPoint(index, x.shape, x.scale * 2**bits, -(-x.bound >> bits))

    def dense(self, x: Quantized, layer: Dense, name: str) -> Quantized:
        inputs, outputs = layer.kernel.shape
        y = self._dense_output(name, (x.shape[0], outputs))
        full_name, tensor = self._arithmetic.full_name(name), self._writer.tensor
        kernel = np.asarray(layer.kernel, np.float64)
        moments = self._calibration.moments.get(full_name)
        if moments is not None:
            kernel = round_columns(kernel, moments[0], _LEVELS)
        kernel = kernel.T.astype(np.float64)
        largest = np.abs(kernel).max(axis=1)
        scales = np.where(largest > 0, largest, 1.0) / _LEVELS
        bias = np.zeros(outputs) if layer.bias is None else np.asarray(layer.bias, np.float64)
        steps = np.clip(np.round(bias / (scales * x.scale)), -INT32_MAX, INT32_MAX)
        weights = tensor(
            f"{full_name}/kernel",
            (outputs, inputs),
            "int8",
            scale=scales,
            values=np.round(kernel / scales[:, None]),
        )
        biases = tensor(
            f"{full_name}/bias", (outputs,), "int32", scale=scales * x.scale, values=steps
        )
        self._writer.operator(
            "FULLY_CONNECTED",
            [x.index, weights, biases],
            y.index,
            version=4,
            options="FullyConnectedOptions",
        )
        return y

    def _dense_output(self, name: str, shape: Sequence[int]) -> Quantized:
        before_gelu = self._calibration.activations.get(
            self._arithmetic.full_name(f"{name}/before_gelu")
        )
        if before_gelu is None:
            return self._symmetric(name, shape)
        scale, zero_point = _asymmetric(before_gelu.low, before_gelu.high)
        return self._arithmetic.int8(name, shape, scale, zero_point)

    def apply_left(self, matrix: Array, x: Any, name: str) -> Any:
        raise TypeError("the tokenizer must be the one of patches")

    def divide_by_root(self, x: Any, square: Any, name: str) -> Any:
        raise TypeError("the tokenizer must be the one of patches")

    def product(
        self, x: Quantized, y: Quantized, name: str, *, transpose_y: bool = False
    ) -> Quantized:
        shape = (*x.shape[:-1], y.shape[-2] if transpose_y else y.shape[-1])
        product = self._symmetric(name if x.row_factor is None else f"{name}/unnormalized", shape)
        self._writer.operator(
            "BATCH_MATMUL",
            [x.index, y.index],
            product.index,
            version=2,
            options="BatchMatMulOptions",
            adjY=transpose_y,
        )
        if x.row_factor is None:
            return product
        normalized = self._symmetric(name, shape)
        factors = [product.index, x.row_factor.index]
        return self._arithmetic.int8_operator("MUL", factors, normalized)

    def add(self, x: Quantized | FixedPoint, y: Any, name: str) -> Any:
        arithmetic = self._arithmetic
        if isinstance(y, np.ndarray) and isinstance(x, Quantized) and y.min() < MASKED_BELOW:
            return masked_scores(arithmetic, x, y, name)
        with arithmetic.scope(name):
            if not isinstance(x, FixedPoint):
                x = arithmetic.fixed(x, "first")
                x = arithmetic.multiplied(x, _STREAM_FINER, "first/finer")
            if isinstance(y, np.ndarray):
                steps = np.round(y / x.scale)
                bound = int(np.abs(steps).max())
                y = FixedPoint(arithmetic.constant(steps), x.shape, x.scale, bound)
            else:
                y = arithmetic.fixed(y, "second")
                y = arithmetic.multiplied(y, max(1, round(y.scale / x.scale)), "second/steps")
            index = arithmetic.binary("ADD", x.index, y.index, "sum", x.shape)
            return FixedPoint(index, x.shape, x.scale, x.bound + y.bound)

    def gelu(self, x: Quantized, name: str) -> Quantized:
        scale, zero_point = _asymmetric(_GELU_LOW, self._activation(name).high)
        y = self._arithmetic.int8(name, x.shape, scale, zero_point)
        return self._arithmetic.int8_operator("GELU", [x.index], y)

    def softmax(self, x: Quantized, name: str) -> Quantized:
        arithmetic = self._arithmetic
        if arithmetic.full_name(name) != self._answer:
            with arithmetic.scope(name):
                return attention_weights(arithmetic, x)
        # The scale and zero point that the operator asks for.
        y = arithmetic.int8(name, x.shape, 1 / 256, INT8_MIN)
        self._writer.operator(
            "SOFTMAX", [x.index], y.index, version=2, options="SoftmaxOptions", beta=1.0
        )
        return y

    def mean(self, x: Quantized, axis: int, name: str) -> Quantized:
        return self._arithmetic.reduced("MEAN", x, axis, name, scale=self._scale(name))

    def reshape(self, x: Any, shape: Sequence[int], name: str) -> Any:
        known = -math.prod(shape)
        new = tuple(math.prod(x.shape) // known if size == -1 else size for size in shape)
        y = self._moved("RESHAPE", 1, x, new, new, name)
        if isinstance(x, FixedPoint) or x.row_factor is None:
            return y
        rows = (*new[:-1], 1)
        factor = self._moved("RESHAPE", 1, x.row_factor, rows, rows, f"{name}/factor")
        return dataclasses.replace(y, row_factor=factor)

    def transpose(self, x: Any, order: Sequence[int], name: str) -> Any:
        shape = tuple(x.shape[axis] for axis in order)
        return self._moved("TRANSPOSE", 2, x, shape, order, name)

    def _moved(
        self,
        operator: str,
        version: int,
        x: Any,
        shape: tuple[int, ...],
        how: Sequence[int],
        name: str,
    ) -> Any:
        """The same numbers elsewhere, of whatever kind they are."""
        arithmetic = self._arithmetic
        if isinstance(x, FixedPoint):
            y: Any = dataclasses.replace(x, index=arithmetic.int32(name, shape), shape=shape)
        else:
            y = arithmetic.int8(name, shape, x.scale, x.zero_point)
        self._writer.operator(
            operator,
            [x.index, arithmetic.constant(how)],
            y.index,
            version=version,
            options=f"{operator.capitalize()}Options",
        )
        return y


def _asymmetric(low: float, high: float) -> tuple[float, int]:
    """The scale and zero point of a range, which holds zero."""
    scale = (max(high, 0.0) - min(low, 0.0)) / (INT8_MAX - INT8_MIN) or 1.0
    return scale, INT8_MIN + round(-min(low, 0.0) / scale)


def _of_channels(values: Any, shape: Sequence[int]) -> Array:
    """Numbers of the last axis, with as many axes as a shape."""
    channels = np.broadcast_to(np.asarray(values, np.float64), shape[-1:])
    return channels.reshape((1,) * (len(shape) - 1) + (-1,))


def _square_limit(count: int) -> int:
    """The largest integer of which `count` squares can be summed in int32."""
    return math.isqrt(INT32_MAX // count)
