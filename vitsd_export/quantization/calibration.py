"""Ranges of a LiteRT model's activations over calibration images."""

import dataclasses
from collections.abc import Callable

import numpy as np

# The operators that hold nearly all weights and multiply-adds.
WEIGHTED_OPERATORS = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What the images said.

    Attributes:
        layers: Name of each weighted operator's output tensor, in order of execution.
        ranges: Smallest and largest value of each tensor that enters or leaves such an operator.
        images: Number of images.
    """

    layers: tuple[str, ...]
    ranges: dict[str, tuple[float, float]]
    images: int


def calibrate(
    content: bytes, images: np.ndarray, *, progress: Callable[[int], None] | None = None
) -> Calibration:
    """Runs a float LiteRT model on images and records the extremes of its activations.

    The extremes of all images are taken, not a moving average over them: tensors of a single row, such as
    the logits, differ so much from image to image that an average would clip most of them.

    Args:
        content: A .tflite file with one input of shape [1, size, size, 3].
        images: [N, size, size, 3], cast to the input's type.
        progress: Called with the number of images done.

    Returns:
        The ranges of the weighted operators' inputs and outputs.
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
    weighted = [
        (int(operator["inputs"][0]), int(operator["outputs"][0]))
        for operator in interpreter._get_ops_details()
        if operator["op_name"] in WEIGHTED_OPERATORS
    ]
    activations = sorted({tensor for pair in weighted for tensor in pair})
    low = {tensor: np.inf for tensor in activations}
    high = {tensor: -np.inf for tensor in activations}
    for index, pixels in enumerate(images):
        interpreter.set_tensor(image["index"], pixels[None].astype(image["dtype"]))
        interpreter.invoke()
        for tensor in activations:
            value = interpreter.get_tensor(tensor)
            low[tensor] = min(low[tensor], float(value.min()))
            high[tensor] = max(high[tensor], float(value.max()))
        if progress is not None:
            progress(index + 1)
    return Calibration(
        layers=tuple(names[output] for _, output in weighted),
        ranges={names[tensor]: (low[tensor], high[tensor]) for tensor in activations},
        images=len(images),
    )
