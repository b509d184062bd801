"""LiteRT schemes, applied to a float32 .tflite file by ai-edge-quantizer.

| scheme | weights | activations |
|---|---|---|
| `float16` | half precision | float32 |
| `dynamic-int8` | int8 by output channel | float32; int8 inside the weighted layers, ranges at run time |
| `int8` | int8 by output channel | as `dynamic-int8`, but calibrated ranges wherever these suffice |
| `weight-only-int8` | int8 by output channel | float32, inside the weighted layers too |

`int4` (`litert.int4`) and `full-int8` (`integer_only`) take more than this file.

A calibrated range is one for all images and tokens, and the layer's output is rounded to int8 as well;
a range taken at run time is one for each token, and the output stays float32. So `int8` calibrates the
layers whose input and output keep at least six effective bits in their range, and leaves the others to
run time.

Only the weights of dense layers and convolutions are touched: they are nearly all of the file, and half
precision for the rest (epsilon, masks, scales) costs several times the error. Softmax, LayerNorm, GELU,
the attention products and the residual stream stay in float32: the quantizer's int8 for them costs most of
a vision transformer's accuracy, and more time than floats.
"""

import re
import warnings
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from vitsd_export.errors import InputError
from vitsd_export.lowering.program import GEOMETRY_SCOPE
from vitsd_export.quantization.calibration.ranges import WEIGHTED_OPERATORS, Calibration
from vitsd_export.quantization.litert.layers import outputs_named, weighted_outputs

# Bits of a number in half precision.
_HALF = 16

# Six bits at 6.02 dB each. Chosen on training images: with every layer calibrated, vit-tiny-cifar10 names
# another class than in float32 on 1.0 % of them, with this limit on 0.3 %, as with no layer calibrated.
SUFFICIENT_SQNR = 36.0

# Names of the outputs of layers with trained weights: see `ranges.is_geometry`.
TRAINED = f"^(?!{re.escape(GEOMETRY_SCOPE)}/)"


def quantize(
    content: bytes,
    calibration: Calibration | None = None,
    *,
    bits: int = 8,
    weight_only: bool = False,
    keep_float: Collection[str] = (),
) -> bytes:
    """Quantizes a float32 .tflite file.

    Args:
        content: The file.
        calibration: Ranges of the activations; taken at run time when None.
        bits: Bits of a weight: 8, or 16 for half precision.
        weight_only: Whether layers compute in float32.
        keep_float: Names of layers to leave as they are, see `layers.outputs_named`.

    Returns:
        The quantized file.

    Raises:
        InputError: If the file has no layer that can be quantized.
        UsageError: If there is no layer of a name.
    """
    work = new_quantizer(content)
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    activations = calibration.activations if calibration else {}
    ranges = {
        name: {
            "min": np.array([[activation.low]], np.float32),
            "max": np.array([[activation.high]], np.float32),
        }
        for name, activation in activations.items()
    }
    calibrated = calibration.layers_above(SUFFICIENT_SQNR) if calibration else ()
    names = exactly(layer.output for layer in calibrated)
    for operator in WEIGHTED_OPERATORS:
        name = TFLOperationName[operator]
        if bits == _HALF:
            casting = AlgorithmName.FLOAT_CASTING
            work.add_weight_only_config(TRAINED, name, bits, algorithm_key=casting)
        elif weight_only:
            work.add_weight_only_config(TRAINED, name, bits)
        else:
            work.add_dynamic_config(TRAINED, name, bits)
            if calibrated:
                work.add_static_config(names, name, bits, bits)
    leave_float(work, content, keep_float)
    return quantized(work, ranges or None)


def new_quantizer(content: bytes) -> Any:
    """Returns ai-edge-quantizer's `Quantizer` of a float32 .tflite file, without a recipe.

    Raises:
        InputError: If the file has no layer that can be quantized.
    """
    with warnings.catch_warnings():
        # Its dependencies' deprecations are not our users' business.
        warnings.simplefilter("ignore", DeprecationWarning)
        from ai_edge_quantizer import quantizer

    if not weighted_outputs(content):
        raise InputError(
            "The model has no layer that can be quantized: no dense layer or convolution with weights. "
            "Export it as float32."
        )
    return quantizer.Quantizer(bytearray(content))


def leave_float(work: Any, content: bytes, names: Collection[str]) -> None:
    """Takes layers out of a quantizer's recipe.

    Raises:
        UsageError: If there is no layer of a name.
    """
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    outputs = outputs_named(content, names)
    for operator in WEIGHTED_OPERATORS if outputs else ():
        work.update_quantization_recipe(
            exactly(outputs),
            TFLOperationName[operator],
            algorithm_key=AlgorithmName.NO_QUANTIZE,
        )


def exactly(names: Iterable[str]) -> str:
    """Returns the regular expression by which the quantizer finds operators of these outputs alone."""
    # The quantizer ends the name that it searches with a semicolon; without it the names that only
    # begin alike would match too.
    return "^(?:" + "|".join(re.escape(name) for name in names) + ");"


def quantized(work: Any, ranges: dict[str, dict[str, np.ndarray]] | None = None) -> bytes:
    """Returns the file that a quantizer's recipe makes."""
    result = work.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)
