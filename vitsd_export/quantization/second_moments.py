"""How the inputs of a LiteRT model's dense layers go together over calibration images."""

import dataclasses
from collections.abc import Callable

import numpy as np

from vitsd_export.lowering.graph import Array
from vitsd_export.quantization.calibration import is_geometry

# Of wider layers only the moments within groups of so many neighbouring inputs are taken: all of those of
# a flattened image would not fit into memory.
GROUP = 1024


@dataclasses.dataclass(frozen=True)
class DenseLayer:
    """A dense layer with constant weights.

    Attributes:
        output: Name of what it answers; unique in the model.
        weights: Name of its weights.
        kernel: [inputs, outputs].
        moments: Mean of x xᵀ over all rows x that enter it, [size, size] for each group of inputs.
    """

    output: str
    weights: str
    kernel: Array
    moments: tuple[Array, ...]


def dense_layers(
    content: bytes, images: np.ndarray, *, progress: Callable[[int], None] | None = None
) -> tuple[DenseLayer, ...]:
    """Runs a float LiteRT model on images and takes the moments of what enters its dense layers.

    Args:
        content: A .tflite file with one input of shape [batch, size, size, 3], of fixed batch.
        images: [N, size, size, 3], cast to the input's type.
        progress: Called with the number of images done.

    Returns:
        The layers in order of execution, without those that only move pixels: see
        `calibration.is_geometry`.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without XNNPACK every intermediate tensor can be read.
    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    layers = []
    for operator in interpreter._get_ops_details():
        if operator["op_name"] != "FULLY_CONNECTED":
            continue
        x, weights = (int(index) for index in operator["inputs"][:2])
        output = names[int(operator["outputs"][0])]
        if not is_geometry(output):
            layers.append((x, weights, output))
    kernels = {weights: interpreter.get_tensor(weights).T.copy() for _, weights, _ in layers}
    # Several layers often share an input.
    sums = {x: _Moments(len(kernels[weights])) for x, weights, _ in layers}
    batch = int(image["shape"][0])
    for start in range(0, len(images), batch):
        pixels = np.resize(images[start : start + batch], image["shape"])
        interpreter.set_tensor(image["index"], pixels.astype(image["dtype"]))
        interpreter.invoke()
        for x, moments in sums.items():
            moments.add(interpreter.get_tensor(x))
        if progress is not None:
            progress(min(start + batch, len(images)))
    return tuple(
        DenseLayer(output, names[weights], kernels[weights], sums[x].means())
        for x, weights, output in layers
    )


class _Moments:
    """Sums of x xᵀ by group of inputs."""

    def __init__(self, inputs: int) -> None:
        self._bounds = [(start, min(start + GROUP, inputs)) for start in range(0, inputs, GROUP)]
        self._sums = [np.zeros((end - start,) * 2, np.float32) for start, end in self._bounds]
        self._rows = 0

    def add(self, value: np.ndarray) -> None:
        rows = value.reshape(-1, self._bounds[-1][1])
        for total, (start, end) in zip(self._sums, self._bounds, strict=True):
            total += rows[:, start:end].T @ rows[:, start:end]
        self._rows += len(rows)

    def means(self) -> tuple[Array, ...]:
        return tuple(total / np.float32(max(self._rows, 1)) for total in self._sums)
