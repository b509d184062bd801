"""LiteRT schemes, applied to a float32 .tflite file by ai-edge-quantizer.

| scheme | weights | activations |
|---|---|---|
| `dynamic` | int8 by output channel | float32; quantized at run time, a range for each call |
| `int8` | int8 by output channel | int8 with calibrated ranges in the weighted layers, float32 elsewhere |

Softmax, LayerNorm, GELU, the attention products and the residual stream stay in float32: LiteRT has no fast
integer kernel for them, and vision transformers lose their accuracy when they are quantized. The first
and the last weighted layer take their ranges at run time, because an error there is never averaged out.
"""

import re
import warnings

import numpy as np

from vitsd_export.errors import InputError
from vitsd_export.quantization.calibration import Calibration

SCHEMES = ("dynamic", "int8")


def quantize(content: bytes, scheme: str, calibration: Calibration | None = None) -> bytes:
    """Quantizes a float32 .tflite file.

    Args:
        content: The file.
        scheme: One of `SCHEMES`.
        calibration: Ranges; needed by `int8`.

    Returns:
        The quantized file.

    Raises:
        InputError: If the ranges cannot be used, or the file has no layer that can be quantized.
    """
    with warnings.catch_warnings():
        # Its dependencies' deprecations are not our users' business.
        warnings.simplefilter("ignore", DeprecationWarning)
        from ai_edge_quantizer import quantizer
        from ai_edge_quantizer.qtyping import TFLOperationName

    layers = [
        TFLOperationName.FULLY_CONNECTED,
        TFLOperationName.CONV_2D,
        TFLOperationName.DEPTHWISE_CONV_2D,
    ]
    work = quantizer.Quantizer(bytearray(content))
    ranges = None
    for layer in layers:
        if scheme == "dynamic":
            work.add_dynamic_config(".*", layer, 8)
        elif calibration is not None:
            work.add_static_config(".*", layer, activation_num_bits=8, weight_num_bits=8)
            for name in _boundary_layers(calibration):
                work.add_dynamic_config(f"^{re.escape(name)}", layer, 8)
            ranges = _usable_ranges(calibration)
    result = work.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    if result.quantized_model is None:
        raise InputError("The model has no layer that can be quantized.")
    return bytes(result.quantized_model)


def _boundary_layers(calibration: Calibration) -> set[str]:
    return {calibration.layers[0], calibration.layers[-1]} if calibration.layers else set()


def _usable_ranges(calibration: Calibration) -> dict[str, dict[str, np.ndarray]]:
    ranges = {}
    for name, (low, high) in calibration.ranges.items():
        if not np.isfinite([low, high]).all():
            raise InputError(
                f"The activation {name} is not finite on the calibration images: {low} to {high}. The "
                "model has NaN or infinite weights; train or save it again."
            )
        ranges[name] = {"min": np.array([[low]], np.float32), "max": np.array([[high]], np.float32)}
    return ranges
