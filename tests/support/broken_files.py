"""Quantized files with one fault each, as bugs of a quantizer or damage of a file would make them."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import ModelProto, numpy_helper

# The weights of one layer have scales that are twice too large; the input of one layer is cut off below zero;
# two channels of one layer have changed places; the input of one layer has an eighth of its range.
FAULTS = ("broken scale", "wrong zero point", "swapped channel", "saturated activations")
_SCALE = 2.0
_SATURATION = 8.0


def break_onnx(model: ModelProto, layer: str, fault: str, channel: int = 0) -> ModelProto:
    """Returns an int8 ONNX model with a fault.

    Args:
        model: As `vitsd-export onnx --quantize` writes it.
        layer: Name of a layer, as `quantized_onnx_layers` tells it.
        fault: One of `FAULTS`.
        channel: Output channel that changes places with the next.
    """
    broken = copy.deepcopy(model)
    tensors = {tensor.name: tensor for tensor in broken.graph.initializer}

    def replace(name: str, values: np.ndarray) -> None:
        old = numpy_helper.to_array(tensors[name])
        values = np.asarray(values, old.dtype).reshape(old.shape)
        tensors[name].CopyFrom(numpy_helper.from_array(values, name))

    def values_of(name: str) -> np.ndarray:
        return numpy_helper.to_array(tensors[name])

    _, scale, zero_point = _input(broken, layer).input
    if fault == "broken scale":
        name = f"{layer}/kernel_scale"
        replace(name, values_of(name) * _SCALE)
    elif fault == "wrong zero point":
        replace(zero_point, np.array(np.iinfo(values_of(zero_point).dtype).min))
    elif fault == "swapped channel":
        for name in (f"{layer}/kernel_quantized", f"{layer}/kernel_scale"):
            replace(name, _swapped(values_of(name).T, channel).T)
    else:
        replace(scale, values_of(scale) / _SATURATION)
    return broken


def quantized_onnx_layers(model: ModelProto) -> list[str]:
    """Returns the names of the layers whose weights and inputs are int8."""
    ending = "/kernel_quantized"
    return [
        tensor.name.removesuffix(ending)
        for tensor in model.graph.initializer
        if tensor.name.endswith(ending)
    ]


def _input(model: ModelProto, layer: str) -> Any:
    """The node that dequantizes the input of a layer."""
    made = {output: node for node in model.graph.node for output in node.output}
    kernel = f"{layer}/kernel_DequantizeLinear_Output"
    (product,) = (node for node in model.graph.node if kernel in node.input)
    (source,) = (name for name in product.input[:2] if name != kernel)
    while made[source].op_type != "DequantizeLinear":
        source = made[source].input[0]
    return made[source]


def break_litert(content: bytes, layer: str, fault: str, channel: int = 0) -> bytes:
    """Returns a LiteRT file with a fault.

    Args:
        content: As `vitsd-export tflite --quantize` or `--scheme full-int8` writes it.
        layer: Name of a layer, as `quantized_litert_layers` tells it.
        fault: As `break_onnx` takes it.
        channel: As `break_onnx` takes it.
    """
    # The readers' arrays are views, so that they write into it.
    broken = bytearray(content)
    source, weights, buffer = {name: rest for name, *rest in _litert_layers(broken)}[layer]
    scales = weights.Quantization().ScaleAsNumpy()
    if fault == "broken scale":
        scales *= _SCALE
    elif fault == "wrong zero point":
        source.Quantization().ZeroPointAsNumpy()[:] = np.iinfo(np.int8).min
    elif fault == "swapped channel":
        kernel = buffer.reshape(weights.ShapeAsNumpy())
        kernel[:] = _swapped(kernel, channel)
        scales[:] = _swapped(scales, channel)
    else:
        source.Quantization().ScaleAsNumpy()[:] /= _SATURATION
    return bytes(broken)


def quantized_litert_layers(content: bytes) -> list[str]:
    """Returns the names of what the dense layers of int8 weights and inputs answer."""
    return [layer[0] for layer in _litert_layers(bytearray(content))]


def _litert_layers(content: bytearray) -> Iterator[tuple[str, Any, Any, np.ndarray]]:
    """Yields name, input, weights and the weights' bytes of the dense layers of int8."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        if code != schema.BuiltinOperator.FULLY_CONNECTED:
            continue
        source, weights = (graph.Tensors(operator.Inputs(index)) for index in range(2))
        if {source.Type(), weights.Type()} != {schema.TensorType.INT8}:
            continue
        buffer = model.Buffers(weights.Buffer())
        # The quantizer puts constants behind the flatbuffer.
        start, size = buffer.Offset(), buffer.Size()
        values = np.frombuffer(content, np.uint8, size, start) if start else buffer.DataAsNumpy()
        name = graph.Tensors(operator.Outputs(0)).Name().decode()
        yield name.split(";")[-1], source, weights, values


def _swapped(channels: np.ndarray, first: int) -> np.ndarray:
    order = np.arange(len(channels))
    order[[first, first + 1]] = first + 1, first
    return channels[order]
