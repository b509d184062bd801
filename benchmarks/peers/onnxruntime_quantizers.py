"""onnxruntime's own quantizers with their defaults, on the file that tf2onnx makes.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.peers.keras_model import load_keras
from benchmarks.peers.tensorflow_lite import calibration_images
from benchmarks.peers.tf2onnx_file import convert_model


def quantize_with_onnxruntime(
    source: str, target: Path, scheme: Literal["dynamic-int8", "int8"]
) -> None:
    """Writes an ONNX file: `quantize_dynamic`'s or `quantize_static`'s.

    Args:
        source: The model.
        target: The file.
        scheme: Ranges taken at run time, or beforehand, from bundled training images.
    """
    import onnx
    from onnxruntime.quantization import quantize_dynamic, quantize_static

    model = load_keras(source).model
    size = model.inputs[0].shape[1]
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "float32.onnx"
        onnx.save(convert_model(model), plain)
        if scheme == "dynamic-int8":
            quantize_dynamic(plain, target)
        else:
            quantize_static(plain, target, _Images(size))


class _Images:
    """Training images, as onnxruntime's calibration reads them one by one."""

    def __init__(self, size: int) -> None:
        self._images: Iterator[list[np.ndarray]] = calibration_images(size)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Returns the next feed; None after the last."""
        image = next(self._images, None)
        return None if image is None else {"image": image[0]}
