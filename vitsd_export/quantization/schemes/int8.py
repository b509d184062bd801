"""`int8`: weights of 8 bits, activations of 8 bits with calibrated ranges."""

from vitsd_export.quantization.making import FittedLayers, Making
from vitsd_export.quantization.schemes.scheme import (
    ANY_LITERT,
    ANY_ONNX,
    INT8_BY_CHANNEL,
    Recipe,
    Scheme,
    few_bits_gate,
)


def _make_onnx(making: Making) -> FittedLayers:
    from vitsd_export.quantization.onnx.making import make
    from vitsd_export.quantization.onnx.quantizer import quantize_static

    return make(making, quantize_static, ranged=True)


def _make_litert(making: Making) -> FittedLayers:
    from vitsd_export.quantization.litert.making import make_calibrated

    return make_calibrated(making)


INT8 = Scheme(
    name="int8",
    weights=INT8_BY_CHANNEL,
    activations="8 bits, ranges calibrated on training images; the attention core in float32",
    gate=few_bits_gate(0.002),
    recipes={
        "tflite": Recipe(
            ANY_LITERT, _make_litert, calibrated=True, ranged=True, tools=("ai-edge-quantizer",)
        ),
        "onnx": Recipe(ANY_ONNX, _make_onnx, calibrated=True, ranged=True, options=("cpu",)),
    },
)
