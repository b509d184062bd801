"""What a network computes inside: the outputs of its layers with weights, by name."""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vitsd_export._internal.messages import first_line
from vitsd_export.artifact.damage import unusable
from vitsd_export.artifact.format_detection import find_format
from vitsd_export.artifact.formats import LITERT, ONNX, ArtifactFormat
from vitsd_export.errors import InputError
from vitsd_export.lowering.graph import Graph
from vitsd_export.quantization.calibration.ranges import WEIGHTED_OPERATORS, is_geometry

_ONNX_WEIGHTED_OPERATORS = ("Conv", "Gemm", "MatMul", "MatMulNBits", "QLinearMatMul", "QGemm")
# What turns weights that are stored in fewer bits into floats.
_WIDENING = ("Cast", "DequantizeLinear", "Mul", "Reshape", "Transpose")
# What quantizers put behind the name of a tensor.
_SUFFIX = re.compile(r"(_dequant|_quantized|_DequantizeLinear_Output)$")

Tensors = Mapping[str, np.ndarray]
Read = Callable[[np.ndarray], Tensors]


class TensorReader(Protocol):
    """A network whose layers' outputs can be read.

    Attributes:
        names: Names of the outputs of layers with weights, in the order in which they are computed.
        candidates: Names of all tensors that can be read.
    """

    names: tuple[str, ...]
    candidates: tuple[str, ...]

    def reading(self, names: Collection[str]) -> Read:
        """Returns a function of images [N, size, size, 3] uint8 that returns these tensors in float32."""


class GraphReader:
    """A lowered graph in float32; names are those of its dense layers, as `dense_layers` has them."""

    def __init__(self, graph: Graph) -> None:
        """Takes a graph; no file is made for it."""
        from vitsd_export.lowering.dense_layers import dense_layers

        self._graph = graph
        self.names = self.candidates = tuple(dense_layers(graph))

    def reading(self, names: Collection[str]) -> Read:
        from vitsd_export.quantization.calibration.graph_runner import observer

        observe = observer(self._graph, names)
        return lambda images: {name: outputs for name, (_, outputs) in observe(images).items()}


class LiteRTReader:
    """A .tflite file in LiteRT's own kernels: XNNPACK keeps no tensors to be read."""

    def __init__(self, path: Path) -> None:
        """Opens a file that is known to be sound.

        Raises:
            InputError: If the interpreter refuses it.
        """
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        try:
            self._interpreter = Interpreter(
                model_path=str(path),
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise unusable(path, f"LiteRT refuses it: {first_line(error).rstrip('.')}") from error
        self._image = self._interpreter.get_input_details()[0]
        tensors = {tensor["index"]: tensor for tensor in self._interpreter.get_tensor_details()}
        weighted = [
            tensors[int(operator["outputs"][0])]
            for operator in self._interpreter._get_ops_details()
            if operator["op_name"] in WEIGHTED_OPERATORS
        ]
        # Constants may have the names of layers; they are no candidates.
        self._details: dict[str, dict[str, Any]] = {
            tensor["name"]: tensor for tensor in weighted if not is_geometry(tensor["name"])
        }
        self.names = self.candidates = tuple(self._details)

    def reading(self, names: Collection[str]) -> Read:
        def read(images: np.ndarray) -> Tensors:
            found: dict[str, list[np.ndarray]] = {name: [] for name in names}
            batch = int(self._image["shape"][0])
            for start in range(0, len(images), batch):
                part = images[start : start + batch]
                self._interpreter.set_tensor(self._image["index"], self._pixels(part))
                self._interpreter.invoke()
                for name in names:
                    values = self._float(self._details[name])
                    found[name].append(values.reshape(batch, -1)[: len(part)])
            return {name: np.concatenate(parts) for name, parts in found.items()}

        return read

    def _pixels(self, images: np.ndarray) -> np.ndarray:
        # A short last batch is filled up with its own images.
        pixels = np.resize(images, self._image["shape"])
        scale, zero_point = self._image["quantization"]
        if self._image["dtype"] == np.int8:
            steps = np.round(pixels / np.float32(scale or 1)) + zero_point
            integers: np.ndarray = np.clip(steps, -128, 127)
            return integers.astype(np.int8)
        return pixels.astype(self._image["dtype"])

    def _float(self, details: dict[str, Any]) -> np.ndarray:
        values = np.asarray(self._interpreter.get_tensor(details["index"]))
        scale, zero_point = details["quantization"]
        if np.issubdtype(values.dtype, np.floating) or not scale:
            return values.astype(np.float32)
        numbers: np.ndarray = (values.astype(np.float32) - zero_point) * np.float32(scale)
        return numbers


class OnnxReader:
    """An ONNX file in onnxruntime, with more outputs than it declares."""

    def __init__(self, path: Path) -> None:
        """Opens a file that is known to be sound."""
        import onnx

        self._model = onnx.load(str(path))
        leading = self._model.graph.input[0].type.tensor_type.shape.dim[0]
        # 0 where it is open.
        self._batch = int(leading.dim_value)
        constants = {tensor.name for tensor in self._model.graph.initializer}
        produced = {node.output[0]: node for node in self._model.graph.node}

        def is_constant(name: str) -> bool:
            if name in constants:
                return True
            node = produced.get(name)
            if node is None or node.op_type not in _WIDENING:
                return False
            return all(is_constant(part) for part in node.input if part)

        self.names = tuple(
            node.output[0]
            for node in self._model.graph.node
            if node.op_type in _ONNX_WEIGHTED_OPERATORS
            and any(is_constant(name) for name in node.input[1:])
            and not is_geometry(node.output[0])
        )
        # Where a layer has become several nodes, the last of them has its name.
        self.candidates = tuple(produced)

    def reading(self, names: Collection[str]) -> Read:
        from vitsd_export.quantization.onnx.tensors import tensor_reader

        run = tensor_reader(self._model, names)

        def read(images: np.ndarray) -> Tensors:
            found: dict[str, list[np.ndarray]] = {name: [] for name in names}
            for count, tensors in run(images, len(images)):
                for name, values in tensors.items():
                    rows = values.reshape(max(count, self._batch), -1)
                    found[name].append(rows[:count])
            return {name: np.concatenate(parts) for name, parts in found.items()}

        return read


READERS: Mapping[ArtifactFormat, Callable[[Path], TensorReader]] = {
    LITERT: LiteRTReader,
    ONNX: OnnxReader,
}


def open_reader(path: Path) -> TensorReader:
    """Opens an ONNX or LiteRT file to read its layers' outputs.

    Raises:
        InputError: If it is neither, or damaged.
    """
    from vitsd_export.runtimes import open_runner

    form = find_format(path)
    if form not in READERS:
        raise InputError(
            f"The tensors between the layers of {form.phrase} cannot be read ({path}). Give an ONNX or "
            "LiteRT file."
        )
    # Makes sure that the file is sound.
    open_runner(path).close()
    return READERS[form](path)


def match_names(reference: Collection[str], artifact: Collection[str]) -> dict[str, str]:
    """Returns the tensors of an artifact that stand for a reference's, by the reference's names.

    Converters and quantizers change names: a tensor of several fused operators has all their names, with
    semicolons; a name that is taken gets a number; quantized tensors get a suffix. Names without a partner
    are left out.
    """
    known = {_plain(name)[-1]: name for name in reference}
    # Integers that are turned into the float of the very name would come first.
    found = {name: name for name in reference if name in set(artifact)}
    for name in artifact:
        for part in reversed(_plain(name)):
            partner = known.get(part) or known.get(_without_number(part, known))
            if partner is not None:
                found.setdefault(partner, name)
                break
    return found


def _plain(name: str) -> list[str]:
    """Returns the names of the operators that a tensor comes from."""
    parts = [_SUFFIX.sub("", part) for part in name.split(";") if part]
    return [part.removesuffix("/product") for part in parts]


def _without_number(name: str, known: Collection[str]) -> str:
    """Returns the known name that this one is with a number behind it; else the name."""
    while name and name not in known and name[-1].isdigit():
        name = name[:-1]
    return name
