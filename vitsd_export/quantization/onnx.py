"""ONNX schemes, applied to a float32 model.

| scheme | weights | activations |
|---|---|---|
| `weight-only-int8` | int8 by output channel; widened when the file is loaded | float32 |
| `dynamic-int8` | int8 by output channel | 8 bits inside dense layers, ranges at run time |
| `int8` | int8 by output channel | 8 bits inside dense layers, calibrated ranges |
| `int4` | the largest layers int4 in blocks, the others as `int8` | as `int8`; by block at run time |

All are written with operators of the ONNX standard. What dense layers answer stays float32: onnxruntime
has such a kernel for each, and then only their inputs are rounded. Softmax, LayerNorm, GELU, the attention
products and the residual stream stay in float32, and so does the layer that takes the patches;
convolutions and what lies between them compute in integers throughout.
"""

import collections
import math
import sys
import warnings
from collections.abc import Collection
from typing import Any, Literal

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from vitsd_export.errors import UsageError
from vitsd_export.quantization.calibration import Calibration
from vitsd_export.quantization.int4 import block_size, quantize_blocks
from vitsd_export.quantization.onnx_layers import OnnxLayers, find_layers
from vitsd_export.quantization.rounding import GROUP, round_columns

Cpu = Literal["avx2", "vnni", "arm"]

# Share of the weights of dense layers that int4 has to reach with as few layers as possible: in the
# others its gain is small, and its kernels are slower than those of int8 where a layer has many rows.
_INT4_SHARE = 0.9
_INT4_OPSET = 21


def quantize(
    model: onnx.ModelProto,
    scheme: str,
    calibration: Calibration,
    *,
    cpu: Cpu = "avx2",
    keep_float: Collection[str] = (),
) -> onnx.ModelProto:
    """Quantizes a float32 model.

    Args:
        model: The model; changed in place.
        scheme: A scheme of ONNX but `float32` and `float16`.
        calibration: Ranges of the activations, and moments of what enters dense layers; see
            `compensated_inputs`.
        cpu: What the integers are chosen for. `avx2`: weights of 7 bits and uint8 activations, because its
            instruction saturates sums of two products; right everywhere. `vnni`: all 8 bits. `arm`:
            int8 activations, for its dot products of signed numbers.
        keep_float: Names of weighted nodes to leave as they are.

    Returns:
        The quantized model.

    Raises:
        InputError: If there is nothing to quantize.
        UsageError: If the model's opset lacks what the scheme needs, or a name is unknown.
    """
    split_gemms(model, _scaled_gemms(model))
    layers = find_layers(model, keep_float)
    if scheme == "weight-only-int8":
        _compensate(model, layers, calibration, 127)
        return _store_int8(model, layers)
    layers = _without_first(layers)
    levels = 64 if cpu == "avx2" else 127
    if scheme == "dynamic-int8":
        _compensate(model, layers, calibration, levels)
        return _dynamic(model, layers, cpu)
    done = _store_int4(model, layers, calibration) if scheme == "int4" else set()
    _compensate(model, layers.without(done), calibration, levels)
    static = [name for name in (*layers.weighted, *layers.between) if name not in done]
    return _static(model, static, calibration, cpu)


def _without_first(layers: OnnxLayers) -> OnnxLayers:
    """Leaves out a first dense layer, that of the patches, if there are others.

    Patches of even colour that LayerNorm makes as large as the others give its input the longest tail of
    all. Computed with float inputs it costs a hundredth of the time, and half of all that rounding of
    activations does to the answers is gone.
    """
    first = next(iter(layers.weighted))
    if layers.weighted[first].op_type == "Conv" or len(layers.weighted) == 1:
        return layers
    return layers.without({first})


def compensated_inputs(scheme: str) -> int:
    """Returns of how many inputs at most a dense layer may be for its rounding to need their moments."""
    return sys.maxsize if scheme == "int4" else GROUP


def _compensate(
    model: onnx.ModelProto, layers: OnnxLayers, calibration: Calibration, levels: int
) -> None:
    """Rounds kernels to what the quantizer will store, each error made up for by other weights.

    In wide layers many errors average out, and in convolutions inputs overlap: these are left alone.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    users = collections.Counter(name for node in model.graph.node for name in node.input)
    for node in layers.weighted.values():
        moments = calibration.moments.get(node.input[0], [])
        kernel = weights[node.input[1]]
        if len(moments) != 1 or len(kernel.dims) != 2 or users[kernel.name] > 1:
            continue
        values = numpy_helper.to_array(kernel)
        across = bool(_attribute(node, "transB"))
        rounded = round_columns(values.T if across else values, moments[0], levels)
        rounded = np.ascontiguousarray(rounded.T if across else rounded)
        kernel.CopyFrom(numpy_helper.from_array(rounded, kernel.name))


def _static(
    model: onnx.ModelProto, names: list[str], calibration: Calibration, cpu: Cpu
) -> onnx.ModelProto:
    from onnxruntime.quantization import (
        CalibrationMethod,
        QDQQuantizer,
        QuantType,
        TensorData,
        TensorsData,
    )

    ranges = {
        name: TensorData(lowest=np.float32(found.low), highest=np.float32(found.high))
        for name, found in calibration.activations.items()
    }
    quantizer = QDQQuantizer(
        model,
        True,  # a scale for each output channel
        cpu == "avx2",
        QuantType.QInt8,
        QuantType.QInt8 if cpu == "arm" else QuantType.QUInt8,
        TensorsData(CalibrationMethod.MinMax, ranges),
        names,
        [],
        sorted({node.op_type for node in model.graph.node if node.name in set(names)}),
        {"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"], "WeightSymmetric": True},
    )
    with warnings.catch_warnings():
        # A layer whose weights are all zero divides by its range.
        warnings.simplefilter("ignore", RuntimeWarning)
        quantizer.quantize_model()
    return _cleaned(quantizer.model)


def _dynamic(model: onnx.ModelProto, layers: OnnxLayers, cpu: Cpu) -> onnx.ModelProto:
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
    from onnxruntime.quantization.quant_utils import QuantizationMode

    dense = [name for name, node in layers.weighted.items() if node.op_type != "Conv"]
    if not dense:
        raise UsageError(
            "dynamic-int8 is for dense layers, and this model has convolutions alone. Use int8."
        )
    split_gemms(model, dense)
    quantizer = ONNXQuantizer(
        model,
        True,  # a scale for each output channel
        cpu == "avx2",
        QuantizationMode.IntegerOps,
        False,  # not static
        QuantType.QInt8,
        QuantType.QUInt8,
        None,
        dense,
        [],
        ["Gemm", "MatMul"],
        {"MatMulConstBOnly": True, "WeightSymmetric": True},
    )
    quantizer.quantize_model()
    return _cleaned(quantizer.model)


def _store_int8(model: onnx.ModelProto, layers: OnnxLayers) -> onnx.ModelProto:
    """Stores weights in int8 and widens them where they are used, which runtimes do when they load it."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    widening: dict[str, list[NodeProto]] = {}
    for node in layers.weighted.values():
        name = node.input[1]
        if name in widening:
            continue
        values = numpy_helper.to_array(weights[name])
        axis = 0 if node.op_type == "Conv" or _attribute(node, "transB") else values.ndim - 1
        others = tuple(index for index in range(values.ndim) if index != axis)
        scale = np.abs(values).max(axis=others, keepdims=True).astype(np.float32) / 127
        scale[scale == 0] = 1
        integers = np.rint(values / scale).astype(np.int8)
        model.graph.initializer.remove(weights.pop(name))
        model.graph.initializer.extend(
            [
                numpy_helper.from_array(integers, f"{name}/int8"),
                numpy_helper.from_array(scale, f"{name}/scale"),
            ]
        )
        # Not DequantizeLinear, which onnxruntime computes anew for every image unless a layer in
        # integers takes it.
        widening[name] = [
            helper.make_node(
                "Cast", [f"{name}/int8"], [f"{name}/wide"], f"{name}/cast", to=TensorProto.FLOAT
            ),
            helper.make_node("Mul", [f"{name}/wide", f"{name}/scale"], [name], f"{name}/scaled"),
        ]
    _put_first(model, [node for nodes in widening.values() for node in nodes])
    return model


def _store_int4(model: onnx.ModelProto, layers: OnnxLayers, calibration: Calibration) -> set[str]:
    """Stores the largest dense layers' weights in int4; returns the names of these layers."""
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset < _INT4_OPSET:
        raise UsageError(
            f"int4 is in ONNX since opset {_INT4_OPSET}, and this file's is {opset}. Leave out --opset, "
            "or use int8."
        )
    chosen = _largest(model, layers)
    if not chosen:
        raise UsageError(
            "No dense layer of this model has rows that divide into blocks for int4. Use int8."
        )
    split_gemms(model, chosen, subtract=True)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    dequantized = []
    for node in model.graph.node:
        if node.name not in chosen:
            continue
        kernel = node.input[1]
        values = numpy_helper.to_array(weights[kernel])
        block = block_size(len(values))
        moments = calibration.moments.get(node.input[0])
        integers, scales = quantize_blocks(values, block, moments)
        packed = helper.make_tensor(
            f"{kernel}/int4", TensorProto.INT4, integers.shape, _pack(integers), raw=True
        )
        model.graph.initializer.remove(weights[kernel])
        model.graph.initializer.extend([packed, numpy_helper.from_array(scales, f"{kernel}/scale")])
        inputs = [f"{kernel}/int4", f"{kernel}/scale"]
        dequantized.append(
            helper.make_node(
                "DequantizeLinear",
                inputs,
                [kernel],
                f"{kernel}/dequantized",
                axis=0,
                block_size=block,
            )
        )
    _put_first(model, dequantized)
    return set(chosen)


def _scaled_gemms(model: onnx.ModelProto) -> list[str]:
    """Returns the Gemms with factors, which onnxruntime forgets at the bias of one in integers."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Gemm"
        and node.input[1] in constants
        and any(_attribute(node, factor) not in (None, 1.0) for factor in ("alpha", "beta"))
    ]


def _largest(model: onnx.ModelProto, layers: OnnxLayers) -> list[str]:
    """Returns the fewest layers that hold most of the weights, of those that divide into blocks."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    kernels = {
        name: shapes[node.input[1]]
        for name, node in layers.weighted.items()
        if node.op_type != "Conv"
    }
    total = sum(map(math.prod, kernels.values()))
    chosen: list[str] = []
    held = 0
    for name in sorted(kernels, key=lambda name: (-math.prod(kernels[name]), name)):
        if held >= _INT4_SHARE * total:
            break
        held += math.prod(kernels[name])
        length = kernels[name][1 if _attribute(layers.weighted[name], "transB") else 0]
        if len(kernels[name]) == 2 and block_size(length):
            chosen.append(name)
    return chosen


def split_gemms(model: onnx.ModelProto, names: Collection[str], *, subtract: bool = False) -> None:
    """Makes products and sums of dense layers, in place; the product keeps the layer's name.

    Args:
        model: The model.
        names: Nodes with constant weights; those that are no Gemm are left as they are.
        subtract: Whether the negative bias is subtracted instead. onnxruntime joins a product and a sum
            to a Gemm again, and before 1.31 knew no kernel for one in four bits.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        plain = node.op_type == "Gemm" and not _attribute(node, "transA")
        if not plain or node.name not in names:
            nodes.append(node)
            continue
        kernel = node.input[1]
        factor = _attribute(node, "alpha")
        if _attribute(node, "transB") or factor not in (None, 1.0):
            values = numpy_helper.to_array(weights[kernel])
            if _attribute(node, "transB"):
                values = values.T
            kernel = f"{node.name}/kernel_by_column"
            values = np.ascontiguousarray(values * np.float32(1.0 if factor is None else factor))
            model.graph.initializer.append(numpy_helper.from_array(values, kernel))
        answer = node.output[0]
        if len(node.input) < 3 or not node.input[2]:
            nodes.append(helper.make_node("MatMul", [node.input[0], kernel], [answer], node.name))
            continue
        product, bias = f"{answer}/product", node.input[2]
        beta = _attribute(node, "beta")
        factor = (-1.0 if subtract else 1.0) * (1.0 if beta is None else beta)
        if factor != 1:
            bias = f"{node.name}/scaled_bias"
            scaled = numpy_helper.to_array(weights[node.input[2]]) * np.float32(factor)
            model.graph.initializer.append(numpy_helper.from_array(scaled, bias))
        kind = "Sub" if subtract else "Add"
        nodes += [
            helper.make_node("MatMul", [node.input[0], kernel], [product], node.name),
            helper.make_node(kind, [product, bias], [answer], f"{node.name}/bias_added"),
        ]
    used = {name for node in nodes for name in node.input}
    for tensor in list(model.graph.initializer):
        if tensor.name not in used:
            model.graph.initializer.remove(tensor)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _pack(integers: np.ndarray) -> bytes:
    """Two numbers a byte, the first in the lower half, as ONNX stores int4."""
    halves = integers.ravel().astype(np.uint8) & 0xF
    if len(halves) % 2:
        halves = np.append(halves, np.uint8(0))
    return bytes(halves[::2] | halves[1::2] << 4)


def _put_first(model: onnx.ModelProto, nodes: list[NodeProto]) -> None:
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])


def _attribute(node: NodeProto, name: str) -> Any:
    found = [entry for entry in node.attribute if entry.name == name]
    return helper.get_attribute_value(found[0]) if found else None


def _cleaned(quantized: Any) -> onnx.ModelProto:
    """Brings nodes into an order in which they can run, and drops operator sets that nothing uses.

    Args:
        quantized: onnxruntime's wrapper of a model.
    """
    quantized.topological_sort()
    model = quantized.model
    del model.metadata_props[:]
    used = {node.domain for node in model.graph.node} | {"", "ai.onnx"}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model
