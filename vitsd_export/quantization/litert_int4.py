"""The LiteRT scheme `int4`: int4 weights, a scale a block of inputs, where that saves much or costs little.

All other weighted layers are as in `dynamic-int8`. Within all layers the activations are int8, their ranges
taken at run time.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from vitsd_export.errors import InputError
from vitsd_export.lowering.graph import Array
from vitsd_export.quantization.calibration import WEIGHTED_OPERATORS
from vitsd_export.quantization.gptq import BlockwiseWeights, round_to_int4
from vitsd_export.quantization.litert import TRAINED, exactly, new_quantizer, quantized
from vitsd_export.quantization.second_moments import (
    GROUP,
    DenseLayer,
    Moments,
    dense_layers,
    second_moments,
)

# Layers of so many weights, as a flattened image's head has, are the file, and reading them is the time.
# Where there are any, the others stay in int8, in which products of many rows are faster.
LARGE = 2**20
# Where there are none, layers are rounded if their answers keep this ratio to the error, in decibels. Chosen
# on training images: with all layers in int4 vit-tiny-cifar10 names another class than in float32 on
# TODO % of them, with this limit on TODO %.
SUFFICIENT_SQNR = 28.0
# A block's float16 scale takes half a bit a weight in blocks of 32, an eighth in blocks of 128.
_SMALL_BLOCK, _LARGE_BLOCK = 32, 128


def quantize_int4(
    content: bytes, images: np.ndarray, *, progress: Callable[[int], None] | None = None
) -> bytes:
    """Quantizes a float32 .tflite file to int4 and int8 weights.

    Args:
        content: The file.
        images: Calibration images [N, size, size, 3]; on these is seen which errors matter.
        progress: Called with the number of images done.

    Returns:
        The quantized file.

    Raises:
        InputError: If the file has no layer that can be quantized, no dense layer that can be int4, or
            an activation is not finite.
    """
    work = new_quantizer(content)
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

    for operator in WEIGHTED_OPERATORS:
        work.add_dynamic_config(TRAINED, TFLOperationName[operator], 8)
    rounded: dict[str, BlockwiseWeights] = {}
    outputs: list[str] = []
    layers = dense_layers(content)
    large = [layer for layer in layers if layer.kernel.size >= LARGE]
    block = _LARGE_BLOCK if large else _SMALL_BLOCK
    layers = tuple(layer for layer in large or layers if len(layer.kernel) % block == 0)
    found = second_moments(content, layers, images, progress=progress)
    for layer, moments in zip(layers, found, strict=True):
        weights = round_layer(layer, moments, block)
        if large or sqnr(layer, moments, weights) >= SUFFICIENT_SQNR:
            rounded[layer.weights] = weights
            outputs.append(layer.output)
    if not rounded:
        raise InputError(
            "No layer of the model can be stored in int4: each would lose more than a twentieth of its "
            "answer. Use the scheme int8."
        )
    work.add_dynamic_config(
        exactly(outputs),
        TFLOperationName.FULLY_CONNECTED,
        4,
        granularity=QuantGranularity[f"BLOCKWISE_{block}"],
    )
    return _replace_weights(quantized(work), rounded)


def round_layer(layer: DenseLayer, moments: Moments, block: int) -> BlockwiseWeights:
    """Rounds a layer's weights to int4, group of inputs by group.

    Raises:
        InputError: If what enters the layer is not finite.
    """
    parts = []
    for number, group_moments in enumerate(moments):
        if not np.isfinite(group_moments).all():
            raise InputError(
                f"What enters the layer {layer.output} is not finite on the calibration images. The model "
                "has NaN or infinite weights; train or save it again."
            )
        group = layer.kernel[number * GROUP : number * GROUP + len(group_moments)]
        parts.append(round_to_int4(group, group_moments, block))
    return BlockwiseWeights(
        np.concatenate([part.integers for part in parts]),
        np.concatenate([part.scales for part in parts]),
    )


def sqnr(layer: DenseLayer, moments: Moments, weights: BlockwiseWeights) -> float:
    """How much larger a layer's answers are than what rounding its weights changes in them, in decibels."""
    error = weights.dequantized() - layer.kernel
    signal, noise = (_power(values, moments) for values in (layer.kernel, error))
    return float(10 * np.log10(signal / noise)) if noise else np.inf


def _power(kernel: Array, moments: Moments) -> float:
    """Mean square of x · kernel, of groups that do not go together."""
    parts = np.split(kernel.astype(np.float64), range(GROUP, len(kernel), GROUP))
    return float(
        sum(np.sum(part * (group @ part)) for part, group in zip(parts, moments, strict=True))
    )


def _replace_weights(content: bytes, rounded: dict[str, BlockwiseWeights]) -> bytes:
    """Writes weights over those that the quantizer rounded to the nearest."""
    from ai_edge_litert import schema_py_generated as schema

    changed = bytearray(content)
    model = schema.Model.GetRootAsModel(changed, 0)
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(index) for index in range(graph.TensorsLength())]
    for tensor in tensors:
        weights = rounded.get(tensor.Name().decode())
        if weights is None:
            continue
        details = schema.BlockwiseQuantization()
        table = tensor.Quantization().Details()
        details.Init(table.Bytes, table.Pos)
        _write(changed, model.Buffers(tensors[details.Scales()].Buffer()), weights.scales.T)
        # Two weights a byte, the first one in the lower half.
        pairs = weights.integers.T.reshape(-1, 2).astype(np.uint8) & 0xF
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
