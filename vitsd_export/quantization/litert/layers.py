"""The weighted layers of a .tflite file, and how users name them."""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from vitsd_export._internal.suggestions import nearest
from vitsd_export.errors import UsageError
from vitsd_export.quantization.calibration.ranges import WEIGHTED_OPERATORS, is_geometry


def tensor_names(interpreter: Any) -> dict[int, str]:
    """Returns the names of a LiteRT interpreter's tensors by their numbers."""
    return {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}


def weighted_tensors(interpreter: Any) -> list[tuple[int, int]]:
    """Returns what enters and what leaves each operator with trained weights of a LiteRT interpreter.

    Returns:
        Numbers of tensors, in order of execution.
    """
    names = tensor_names(interpreter)
    return [
        (int(operator["inputs"][0]), int(operator["outputs"][0]))
        for operator in interpreter._get_ops_details()
        if operator["op_name"] in WEIGHTED_OPERATORS
        and not is_geometry(names[int(operator["outputs"][0])])
    ]


def weighted_outputs(content: bytes) -> tuple[str, ...]:
    """Returns what the layers of a .tflite file with trained weights answer, in order of execution."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    names = tensor_names(interpreter)
    return tuple(names[output] for _, output in weighted_tensors(interpreter))


def run_batches(interpreter: Any, images: np.ndarray) -> Iterator[int]:
    """Runs a LiteRT interpreter of fixed batch on images [N, size, size, 3], cast to its input's type.

    A short last batch is filled up with its own images over again.

    Yields:
        The number of images done, after each batch.
    """
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]
    batch = int(image["shape"][0])
    for start in range(0, len(images), batch):
        pixels = np.resize(images[start : start + batch], image["shape"])
        interpreter.set_tensor(image["index"], pixels.astype(image["dtype"]))
        interpreter.invoke()
        yield min(start + batch, len(images))


def outputs_named(content: bytes, names: Collection[str]) -> tuple[str, ...]:
    """Returns the full names of what layers of a .tflite file answer.

    Where the converter made one layer of several operators, it joins their names with semicolons: each of
    them is accepted. Where it found a name taken, it added a 1, which may be left out.

    Raises:
        UsageError: If there is no layer of a name.
    """
    layers = weighted_outputs(content)
    outputs = {part: layer for layer in layers for part in layer.split(";")}
    outputs |= {layer: layer for layer in layers}
    for part, output in tuple(outputs.items()):
        outputs.setdefault(part.removesuffix("1"), output)
    found = []
    for name in names:
        if name not in outputs:
            raise UsageError(
                f"There is no layer {name!r} to keep in float.{nearest(name, list(outputs))} Layers: "
                f"{', '.join(layer.split(';')[-1] for layer in layers)}."
            )
        found.append(outputs[name])
    return tuple(found)
