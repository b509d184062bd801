"""How the inputs of a LiteRT model's dense layers go together over calibration images."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vitsd_export.lowering.graph import Array
from vitsd_export.quantization.calibration import is_geometry

# Of wider layers only the moments within groups of so many neighbouring inputs are taken: all of those of
# a flattened image would not fit into memory.
GROUP = 1024
# One product of many rows in place of many of few: numbers that wait for it.
_WAITING = 2**22


# Mean of x xᵀ over all rows x that enter a layer: [size, size] for each group of inputs.
Moments = tuple[Array, ...]


@dataclasses.dataclass(frozen=True)
class DenseLayer:
    """A dense layer with constant weights.

    Attributes:
        input: Index of the tensor that enters it.
        output: Name of what it answers; unique in the model.
        weights: Name of its weights.
        kernel: [inputs, outputs].
    """

    input: int
    output: str
    weights: str
    kernel: Array


def dense_layers(content: bytes) -> tuple[DenseLayer, ...]:
    """Returns the dense layers of a float LiteRT model in order of execution.

    Those that only move pixels are left out: see `calibration.is_geometry`.
    """
    interpreter = _interpreter(content)
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    layers = []
    for operator in interpreter._get_ops_details():
        if operator["op_name"] != "FULLY_CONNECTED":
            continue
        x, weights = (int(index) for index in operator["inputs"][:2])
        output = names[int(operator["outputs"][0])]
        if not is_geometry(output):
            kernel = interpreter.get_tensor(weights).T.copy()
            layers.append(DenseLayer(x, output, names[weights], kernel))
    return tuple(layers)


def second_moments(
    content: bytes,
    layers: Sequence[DenseLayer],
    images: np.ndarray,
    *,
    progress: Callable[[int], None] | None = None,
) -> tuple[Moments, ...]:
    """Runs a float LiteRT model on images and takes the moments of what enters its layers.

    Args:
        content: A .tflite file with one input of shape [batch, size, size, 3], of fixed batch.
        layers: Layers of it.
        images: [N, size, size, 3], cast to the input's type.
        progress: Called with the number of images done.

    Returns:
        The moments for each layer.
    """
    interpreter = _interpreter(content)
    image = interpreter.get_input_details()[0]
    # Several layers often share an input.
    sums = {layer.input: _Sums(len(layer.kernel)) for layer in layers}
    batch = int(image["shape"][0])
    for start in range(0, len(images), batch):
        pixels = np.resize(images[start : start + batch], image["shape"])
        interpreter.set_tensor(image["index"], pixels.astype(image["dtype"]))
        interpreter.invoke()
        for x, total in sums.items():
            total.add(interpreter.get_tensor(x))
        if progress is not None:
            progress(min(start + batch, len(images)))
    means = {x: total.means() for x, total in sums.items()}
    return tuple(means[layer.input] for layer in layers)


def _interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without XNNPACK every intermediate tensor can be read.
    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter


class _Sums:
    """Sums of x xᵀ by group of inputs."""

    def __init__(self, inputs: int) -> None:
        self._bounds = [(start, min(start + GROUP, inputs)) for start in range(0, inputs, GROUP)]
        self._sums = [np.zeros((end - start,) * 2, np.float32) for start, end in self._bounds]
        self._rows = 0
        self._waiting: list[np.ndarray] = []

    def add(self, value: np.ndarray) -> None:
        self._waiting.append(value.reshape(-1, self._bounds[-1][1]))
        if sum(rows.size for rows in self._waiting) >= _WAITING:
            self._sum_up()

    def _sum_up(self) -> None:
        rows = np.concatenate(self._waiting)
        self._waiting = []
        for total, (start, end) in zip(self._sums, self._bounds, strict=True):
            total += rows[:, start:end].T @ rows[:, start:end]
        self._rows += len(rows)

    def means(self) -> Moments:
        if self._waiting:
            self._sum_up()
        return tuple(total / np.float32(max(self._rows, 1)) for total in self._sums)
