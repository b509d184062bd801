"""onnxruntime's own quantizers with their defaults, on the file that tf2onnx makes.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.baselines.inputs import calibration_images


def quantize_with_onnxruntime(
    source: str, target: Path, scheme: Literal["dynamic-int8", "int8"]
) -> None:
    """Writes an ONNX file: `quantize_dynamic`'s or `quantize_static`'s.

    Args:
        source: A float32 ONNX file of one input, [N, size, size, 3].
        target: The file.
        scheme: Ranges taken at run time, or beforehand, from bundled training images.
    """
    import onnx
    from onnxruntime.quantization import quantize_dynamic, quantize_static

    if scheme == "dynamic-int8":
        quantize_dynamic(source, target)
        return
    graph = onnx.load(source).graph
    (image,), (answer,) = graph.input, graph.output
    size, classes = image.type.tensor_type.shape.dim[1], answer.type.tensor_type.shape.dim[-1]
    quantize_static(source, target, _Images(image.name, size.dim_value, classes.dim_value))


class _Images:
    """Training images, as onnxruntime's calibration reads them one by one."""

    def __init__(self, name: str, size: int, classes: int) -> None:
        self._name = name
        self._images: Iterator[np.ndarray] = calibration_images(size, classes)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Returns the next feed; None after the last."""
        image = next(self._images, None)
        return None if image is None else {self._name: image}
