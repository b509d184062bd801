"""ONNX schemes, applied to a float32 model.

| scheme | weights | activations |
|---|---|---|
| `weight-only-int8` | int8 by output channel; widened when the file is loaded | float32 |
| `dynamic-int8` | int8 by output channel | 8 bits inside dense layers, ranges at run time |
| `int8` | int8 by output channel | 8 bits inside dense layers, calibrated ranges |
| `int4` | some int4 in blocks (`int4_layers`), the others as `int8` | as `int8`; by block at run time |

All are written with operators of the ONNX standard. What dense layers answer stays float32: onnxruntime
has such a kernel for each, and then only their inputs are rounded. Softmax, LayerNorm, GELU, the attention
products and the residual stream stay in float32, and so does the layer that takes the patches;
convolutions and what lies between them compute in integers throughout.
"""

import collections
import dataclasses
import warnings
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from vitsd_export.errors import UsageError
from vitsd_export.quantization.calibration.ranges import Calibration
from vitsd_export.quantization.making import Cpu
from vitsd_export.quantization.onnx.gemms import attribute, put_first, scaled_gemms, split_gemms
from vitsd_export.quantization.onnx.int4 import store_int4
from vitsd_export.quantization.onnx.layers import OnnxLayers, find_layers
from vitsd_export.quantization.rounding import round_columns


@dataclasses.dataclass(frozen=True, eq=False)
class Settings:
    """How a model is quantized.

    Attributes:
        cpu: What the integers are chosen for. `avx2`: weights of 7 bits and uint8 activations, because its
            instruction saturates sums of two products; right everywhere. `vnni`: all 8 bits. `arm`:
            int8 activations, for its dot products of signed numbers.
        keep_float: Names of weighted nodes to leave as they are.
        images: [N, size, size, 3] calibration images; `quantize_int4` needs them.
    """

    cpu: Cpu = "avx2"
    keep_float: Collection[str] = ()
    images: np.ndarray | None = None

    @property
    def levels(self) -> int:
        """Largest integer of the weights of 8 bits."""
        return 64 if self.cpu == "avx2" else 127


# Quantizes a float32 model, which it may change, by ranges of activations and moments of what enters dense
# layers. Raises InputError if there is nothing to quantize, and UsageError if the model's opset lacks what is
# needed, or a name is unknown.
Quantizer = Callable[[onnx.ModelProto, Calibration, Settings], onnx.ModelProto]


def quantize_weights(
    model: onnx.ModelProto, calibration: Calibration, settings: Settings
) -> onnx.ModelProto:
    """Quantizes to `weight-only-int8`: see `Quantizer`."""
    layers = _find_layers(model, settings)
    _compensate(model, layers, calibration, 127)
    return _store_int8(model, layers)


def quantize_dynamic(
    model: onnx.ModelProto, calibration: Calibration, settings: Settings
) -> onnx.ModelProto:
    """Quantizes to `dynamic-int8`: see `Quantizer`."""
    layers = _without_first(_find_layers(model, settings))
    _compensate(model, layers, calibration, settings.levels)
    return _dynamic(model, layers, settings.cpu)


def quantize_static(
    model: onnx.ModelProto, calibration: Calibration, settings: Settings
) -> onnx.ModelProto:
    """Quantizes to `int8`: see `Quantizer`."""
    return _quantize_rest(
        model, _without_first(_find_layers(model, settings)), calibration, settings
    )


def quantize_int4(
    model: onnx.ModelProto, calibration: Calibration, settings: Settings
) -> onnx.ModelProto:
    """Quantizes to `int4`: see `Quantizer`."""
    layers = _without_first(_find_layers(model, settings))
    if settings.images is None:
        raise ValueError("int4 needs images")
    done = store_int4(model, layers, calibration, settings.images)
    return _quantize_rest(model, layers, calibration, settings, done)


def _quantize_rest(
    model: onnx.ModelProto,
    layers: OnnxLayers,
    calibration: Calibration,
    settings: Settings,
    done: Collection[str] = frozenset(),
) -> onnx.ModelProto:
    _compensate(model, layers.without(set(done)), calibration, settings.levels)
    static = [name for name in (*layers.weighted, *layers.between) if name not in done]
    return _static(model, static, calibration, settings.cpu)


def _find_layers(model: onnx.ModelProto, settings: Settings) -> OnnxLayers:
    split_gemms(model, scaled_gemms(model))
    return find_layers(model, settings.keep_float)


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
        across = bool(attribute(node, "transB"))
        rounded = round_columns(values.T if across else values, moments[0], levels)
        rounded = np.ascontiguousarray(rounded.T if across else rounded)
        kernel.CopyFrom(numpy_helper.from_array(rounded, kernel.name))


def _static(
    model: onnx.ModelProto, names: list[str], calibration: Calibration, cpu: Cpu
) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData

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
    quantized = _cleaned(quantizer.model)
    # OpenCV 4 computes a Gemm whose bias is no constant without an error, and wrongly; it refuses the sum.
    # onnxruntime joins product and sum again.
    split_gemms(quantized, _gemms_of_computed_bias(quantized))
    if cpu == "arm":
        _keep_float_consumers(quantized, set(names))
    return quantized


def _gemms_of_computed_bias(model: onnx.ModelProto) -> list[str]:
    computed = {name for node in model.graph.node for name in node.output}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Gemm"
        and not attribute(node, "transB")
        and len(node.input) == 3
        and node.input[2] in computed
    ]


def _keep_float_consumers(model: onnx.ModelProto, names: Collection[str]) -> None:
    """Gives all but the named nodes, which compute in integers, their inputs before rounding, in place.

    The quantizer gives every consumer of an activation the rounded one. onnxruntime then moves the rounding
    behind a Reshape or Transpose, such as that of the tokens that serve as keys, and from opset 21 on refuses
    the int8 node that it makes there.
    """
    makers = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.name in names:
            continue
        for index, name in enumerate(node.input):
            if name not in makers or makers[name].op_type != "DequantizeLinear":
                continue
            rounding = makers.get(makers[name].input[0])
            if rounding is not None and makers[rounding.input[0]].name not in names:
                node.input[index] = rounding.input[0]


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
        axis = 0 if node.op_type == "Conv" or attribute(node, "transB") else values.ndim - 1
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
    put_first(model, [node for nodes in widening.values() for node in nodes])
    return model


def _cleaned(quantized: Any) -> onnx.ModelProto:
    """Sorts the nodes of onnxruntime's wrapper of a model, and drops operator sets that nothing uses."""
    quantized.topological_sort()
    model = quantized.model
    del model.metadata_props[:]
    used = {node.domain for node in model.graph.node} | {"", "ai.onnx"}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model
