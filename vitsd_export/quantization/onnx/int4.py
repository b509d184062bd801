"""int4 weights of dense layers in ONNX, with a scale for each block of a column."""

import collections
import math
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vitsd_export.errors import UsageError
from vitsd_export.lowering.graph import Array
from vitsd_export.quantization.calibration.ranges import Calibration
from vitsd_export.quantization.int4 import block_size, quantize_blocks
from vitsd_export.quantization.int4_layers import (
    IMAGES,
    as_probabilities,
    harmless_layers,
    large_layers,
)
from vitsd_export.quantization.onnx.gemms import attribute, put_first, split_gemms
from vitsd_export.quantization.onnx.layers import OnnxLayers
from vitsd_export.quantization.onnx.tensors import tensor_reader

_OPSET = 21

_BATCH = 32


def store_int4(
    model: onnx.ModelProto, layers: OnnxLayers, calibration: Calibration, images: Array
) -> set[str]:
    """Stores the weights of some dense layers in int4, in place, and returns their names: see `int4_layers`.

    Args:
        model: The float32 model.
        layers: Those that may be int4.
        calibration: With moments of what enters dense layers.
        images: [N, size, size, 3] training images.

    Raises:
        UsageError: If the opset lacks int4, or no layer can be int4.
    """
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset < _OPSET:
        raise UsageError(
            f"ONNX has int4 since opset {_OPSET}, and this file's is {opset}. Leave out --opset, or use int8."
        )
    sizes = _candidates(model, layers)
    if not sizes:
        raise UsageError(
            "No dense layer of this model has rows that divide into blocks for int4. Use int8."
        )
    chosen = large_layers(sizes) or _harmless(model, sizes, calibration, images)
    split_gemms(model, chosen, subtract=True)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    dequantized = []
    for node in model.graph.node:
        if node.name not in chosen:
            continue
        kernel = node.input[1]
        integers, scales = _rounded(weights[kernel], calibration.moments.get(node.input[0]))
        packed = helper.make_tensor(
            f"{kernel}/int4", TensorProto.INT4, integers.shape, _pack(integers), raw=True
        )
        model.graph.initializer.remove(weights[kernel])
        model.graph.initializer.extend([packed, numpy_helper.from_array(scales, f"{kernel}/scale")])
        dequantized.append(
            helper.make_node(
                "DequantizeLinear",
                [f"{kernel}/int4", f"{kernel}/scale"],
                [kernel],
                f"{kernel}/dequantized",
                axis=0,
                block_size=block_size(len(integers)),
            )
        )
    put_first(model, dequantized)
    return set(chosen)


def _candidates(model: onnx.ModelProto, layers: OnnxLayers) -> dict[str, int]:
    """Returns the numbers of weights of the layers that divide into blocks, by name."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    users = collections.Counter(name for node in model.graph.node for name in node.input)
    sizes = {}
    for name, node in layers.weighted.items():
        shape = shapes[node.input[1]]
        if len(shape) != 2 or users[node.input[1]] > 1:
            continue
        if block_size(shape[1 if attribute(node, "transB") else 0]):
            sizes[name] = math.prod(shape)
    return sizes


def _harmless(
    model: onnx.ModelProto, sizes: Mapping[str, int], calibration: Calibration, images: Array
) -> tuple[str, ...]:
    """Returns the layers whose rounding hardly changes the answers."""
    trial = onnx.ModelProto()
    trial.CopyFrom(model)
    split_gemms(trial, list(sizes))
    weights = {tensor.name: tensor for tensor in trial.graph.initializer}
    nodes = {node.name: node for node in trial.graph.node}
    answer = trial.graph.output[0].name
    few = images[:IMAGES]

    def probabilities(name: str | None) -> Array:
        if name is None:
            answers = [found[answer] for _, found in tensor_reader(trial, [answer])(few, _BATCH)]
            return as_probabilities(np.concatenate(answers)[: len(few)], answer)
        node = nodes[name]
        weight = weights[node.input[1]]
        integers, scales = _rounded(weight, calibration.moments.get(node.input[0]))
        wide = integers * np.repeat(scales, block_size(len(integers)), axis=0)
        exact = numpy_helper.to_array(weight)
        weight.CopyFrom(numpy_helper.from_array(wide, weight.name))
        changed = probabilities(None)
        weight.CopyFrom(numpy_helper.from_array(exact, weight.name))
        return changed

    return harmless_layers(sizes, probabilities)


def _rounded(weight: TensorProto, moments: list[Array] | None) -> tuple[Array, Array]:
    """Returns integers and scales of a kernel: see `quantize_blocks`."""
    kernel = numpy_helper.to_array(weight)
    return quantize_blocks(kernel, block_size(len(kernel)), moments)


def _pack(integers: Array) -> bytes:
    """Two numbers a byte, the first in the lower half, as ONNX stores int4."""
    halves = integers.ravel().astype(np.uint8) & 0xF
    if len(halves) % 2:
        halves = np.append(halves, np.uint8(0))
    return bytes(halves[::2] | halves[1::2] << 4)
