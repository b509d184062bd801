"""The LiteRT scheme `int4`: int4 weights with a scale a block of inputs, in the layers where that pays.

All other weighted layers are as in `dynamic-int8`. Within all of them the activations are int8, their
ranges taken at run time.
"""

import dataclasses
import math
from collections.abc import Collection
from typing import Any

import numpy as np

from vitsd_export.errors import InputError
from vitsd_export.lowering.graph import Array
from vitsd_export.quantization.calibration import WEIGHTED_OPERATORS, Calibration, is_geometry
from vitsd_export.quantization.int4 import quantize_blocks
from vitsd_export.quantization.litert import (
    TRAINED,
    exactly,
    leave_float,
    new_quantizer,
    quantized,
)
from vitsd_export.quantization.litert_layers import outputs_named
from vitsd_export.quantization.rounding import GROUP

# Layers of so many weights, as a flattened image's head has, are the file, and reading them is the time.
# Where there are any, the others stay in int8, in which products of many rows are faster.
LARGE = 2**20
# Where there are none, layers are int4 if their answers keep this ratio to the error, in decibels: five
# effective bits. Chosen on training images: with all layers in int4 vit-tiny-cifar10 names another class
# than in float32 on TODO % of them, with this limit on TODO %.
SUFFICIENT_SQNR = 30.0
# A block's float16 scale takes half a bit a weight in blocks of 32, an eighth in blocks of 128. XNNPACK
# takes multiples of 32.
_SMALL_BLOCK, _LARGE_BLOCK = 32, 128


@dataclasses.dataclass(frozen=True, eq=False)
class DenseLayer:
    """A dense layer with constant weights that may be int4.

    Attributes:
        input: Name of what enters it.
        output: Name of what it answers; unique in the model.
        weights: Name of its weights.
        kernel: [inputs, outputs] float32.
        block: Inputs that are to share a scale.
    """

    input: str
    output: str
    weights: str
    kernel: Array
    block: int

    @property
    def large(self) -> bool:
        """Whether it is int4 whatever the error."""
        return self.kernel.size >= LARGE


def int4_candidates(content: bytes) -> tuple[DenseLayer, ...]:
    """Returns the layers of a float32 .tflite file that may be int4: the large ones, if there are any."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    layers = []
    for operator in interpreter._get_ops_details():
        output = names[int(operator["outputs"][0])]
        if operator["op_name"] != "FULLY_CONNECTED" or is_geometry(output):
            continue
        x, weights = (int(index) for index in operator["inputs"][:2])
        kernel = interpreter.get_tensor(weights).T.copy()
        block = _LARGE_BLOCK if kernel.size >= LARGE else _SMALL_BLOCK
        if len(kernel) % block == 0:
            layers.append(DenseLayer(names[x], output, names[weights], kernel, block))
    large = tuple(layer for layer in layers if layer.large)
    return large or tuple(layers)


def quantize_int4(
    content: bytes,
    candidates: tuple[DenseLayer, ...],
    calibration: Calibration,
    *,
    keep_float: Collection[str] = (),
) -> bytes:
    """Quantizes a float32 .tflite file to int4 and int8 weights.

    Args:
        content: The file.
        candidates: The layers that may be int4, see `int4_candidates`.
        calibration: With the moments of what enters them: these tell which errors matter.
        keep_float: Names of layers to leave as they are, see `litert_layers.outputs_named`.

    Returns:
        The quantized file.

    Raises:
        InputError: If the file has no layer that can be quantized, or none that can be int4.
        UsageError: If there is no layer of a name.
    """
    work = new_quantizer(content)
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

    for operator in WEIGHTED_OPERATORS:
        work.add_dynamic_config(TRAINED, TFLOperationName[operator], 8)
    rounded: dict[str, tuple[Array, Array]] = {}
    kept = set(outputs_named(content, keep_float))
    for layer in candidates:
        if layer.output in kept:
            continue
        moments = calibration.moments[layer.input]
        integers, scales = quantize_blocks(layer.kernel, layer.block, moments, half_scales=True)
        if layer.large or sqnr(layer, moments, integers, scales) >= SUFFICIENT_SQNR:
            rounded[layer.weights] = (integers, scales)
            work.add_dynamic_config(
                exactly([layer.output]),
                TFLOperationName.FULLY_CONNECTED,
                4,
                granularity=QuantGranularity[f"BLOCKWISE_{layer.block}"],
            )
    leave_float(work, content, keep_float)
    if not rounded:
        raise InputError(
            "No layer of the model can be stored in int4: either each would lose too much, or none is a "
            f"dense layer with a multiple of {_SMALL_BLOCK} inputs. Use the scheme int8."
        )
    return _replace_weights(quantized(work), rounded)


def sqnr(layer: DenseLayer, moments: list[Array], integers: Array, scales: Array) -> float:
    """How much larger a layer's answers are than what rounding its weights changes in them, in decibels.

    Args:
        layer: The layer.
        moments: Σ x xᵀ of its inputs, in groups.
        integers: Its rounded weights, [inputs, outputs].
        scales: Their scales, [inputs / block, outputs].
    """
    change = integers * np.repeat(scales.astype(np.float64), layer.block, axis=0) - layer.kernel
    signal, noise = (_power(values, moments) for values in (layer.kernel, change))
    return 10 * math.log10(signal / noise) if noise and signal else math.inf


def _power(kernel: Array, moments: list[Array]) -> float:
    """Sum of squares of x · kernel, of groups that do not go together."""
    parts = np.split(kernel.astype(np.float64), range(GROUP, len(kernel), GROUP))
    return float(
        sum(np.sum(part * (moment @ part)) for part, moment in zip(parts, moments, strict=True))
    )


def _replace_weights(content: bytes, rounded: dict[str, tuple[Array, Array]]) -> bytes:
    """Writes weights over those that the quantizer rounded to the nearest."""
    from ai_edge_litert import schema_py_generated as schema

    changed = bytearray(content)
    model = schema.Model.GetRootAsModel(changed, 0)
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(index) for index in range(graph.TensorsLength())]
    for tensor in tensors:
        name = tensor.Name().decode()
        if name not in rounded:
            continue
        integers, scales = rounded[name]
        details = schema.BlockwiseQuantization()
        table = tensor.Quantization().Details()
        details.Init(table.Bytes, table.Pos)
        place = model.Buffers(tensors[details.Scales()].Buffer())
        _write(changed, place, scales.T.astype(np.float16))
        # Two weights a byte, the first one in the lower half.
        pairs = integers.T.reshape(-1, 2).astype(np.uint8) & 0xF
        _write(changed, model.Buffers(tensor.Buffer()), pairs[:, 0] | pairs[:, 1] << 4)
    return bytes(changed)


def _write(content: bytearray, buffer: Any, values: Array) -> None:
    written = np.frombuffer(values.tobytes(), np.uint8)
    # A buffer lies within the FlatBuffer, or behind it at an offset.
    place = (
        np.frombuffer(content, np.uint8, buffer.Size(), buffer.Offset())
        if buffer.DataIsNone()
        else buffer.DataAsNumpy()
    )
    if len(place) != len(written):
        raise ValueError(f"a buffer of {len(place)} bytes was to hold {len(written)}")
    place[:] = written
