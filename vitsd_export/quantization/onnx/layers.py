"""Which nodes of an ONNX graph are quantized."""

import dataclasses
from collections.abc import Collection

import onnx

from vitsd_export._internal.suggestions import nearest
from vitsd_export.errors import InputError, UsageError
from vitsd_export.quantization.calibration.ranges import is_geometry

WEIGHTED = ("Gemm", "MatMul", "Conv")

# What lies between convolutions works on the same integers; between dense layers nothing does.
_BETWEEN_CONVOLUTIONS = (
    *("Add", "AveragePool", "Clip", "Concat", "GlobalAveragePool", "MaxPool", "Relu"),
)


@dataclasses.dataclass(frozen=True)
class OnnxLayers:
    """What can be quantized in a graph.

    Attributes:
        weighted: Nodes with constant weights, by name, in the order they run.
        between: Nodes without weights that a network of convolutions computes in integers, by name.
    """

    weighted: dict[str, onnx.NodeProto]
    between: dict[str, onnx.NodeProto]

    def without(self, names: Collection[str]) -> "OnnxLayers":
        """Returns all but the weighted nodes of these names."""
        rest = {name: node for name, node in self.weighted.items() if name not in names}
        return OnnxLayers(rest, self.between)

    @property
    def rounded(self) -> tuple[str, ...]:
        """Names of all activations that a static scheme rounds, each once."""
        names: dict[str, None] = {}
        for node in self.weighted.values():
            names[node.input[0]] = None
            if node.op_type == "Conv":
                names[node.output[0]] = None
        for node in self.between.values():
            names.update(dict.fromkeys((*_data_inputs(node), node.output[0])))
        return tuple(names)


def find_layers(model: onnx.ModelProto, keep_float: Collection[str] = ()) -> OnnxLayers:
    """Finds the nodes of a float32 model to quantize, less the weighted ones named in `keep_float`.

    Raises:
        InputError: If there is nothing to quantize.
        UsageError: If there is no weighted node of a name in `keep_float`.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    weighted = {
        node.name: node
        for node in model.graph.node
        if node.op_type in WEIGHTED
        and node.input[1] in constants
        and node.input[0] not in constants
        and not is_geometry(node.output[0])
    }
    if not weighted:
        raise InputError(
            "The model has no layer that can be quantized: no dense layer or convolution with weights. "
            "Export it as float32."
        )
    for name in keep_float:
        if name not in weighted:
            raise UsageError(
                f"There is no layer {name!r} to keep in float.{nearest(name, weighted)}"
            )
    between = {}
    if any(node.op_type == "Conv" for node in weighted.values()):
        between = {
            node.name: node
            for node in model.graph.node
            if node.op_type in _BETWEEN_CONVOLUTIONS
            and not constants.intersection(_data_inputs(node))
        }
    return OnnxLayers(weighted, between).without(keep_float)


def _data_inputs(node: onnx.NodeProto) -> list[str]:
    # Clip's other inputs are its limits.
    return list(node.input[:1]) if node.op_type == "Clip" else list(node.input)
