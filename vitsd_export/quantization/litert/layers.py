"""The weighted layers of a .tflite file, and how users name them."""

from collections.abc import Collection

from vitsd_export._internal.suggestions import nearest
from vitsd_export.errors import UsageError
from vitsd_export.quantization.calibration.ranges import WeightedLayer, weighted_tensors


def weighted_layers(content: bytes) -> tuple[WeightedLayer, ...]:
    """Returns the layers of a .tflite file that hold trained weights, in order of execution."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    return tuple(
        WeightedLayer(names[entering], names[leaving])
        for entering, leaving in weighted_tensors(interpreter)
    )


def outputs_named(content: bytes, names: Collection[str]) -> tuple[str, ...]:
    """Finds layers by name.

    Args:
        content: A .tflite file.
        names: What the layers answer. Where the converter made one layer of several operators, it joins
            their names with semicolons: each of them will do. Where it found a name taken, it put a 1
            behind it, which may be left out.

    Returns:
        The full names of what they answer.

    Raises:
        UsageError: If there is no layer of a name.
    """
    layers = weighted_layers(content)
    outputs = {part: layer.output for layer in layers for part in layer.output.split(";")}
    outputs |= {layer.output: layer.output for layer in layers}
    for part, output in tuple(outputs.items()):
        outputs.setdefault(part.removesuffix("1"), output)
    found = []
    for name in names:
        if name not in outputs:
            raise UsageError(
                f"There is no layer {name!r} to keep in float.{nearest(name, list(outputs))} Layers: "
                f"{', '.join(layer.output.split(';')[-1] for layer in layers)}."
            )
        found.append(outputs[name])
    return tuple(found)
