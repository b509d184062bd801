"""`dynamic-int8`: weights of 8 bits, activations of 8 bits with ranges taken at run time."""

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
    from vitsd_export.quantization.onnx.quantizer import quantize_dynamic

    return make(making, quantize_dynamic)


def _make_litert(making: Making) -> None:
    from vitsd_export.quantization.litert.making import make

    make(making)


DYNAMIC_INT8 = Scheme(
    name="dynamic-int8",
    weights=INT8_BY_CHANNEL,
    activations="8 bits, ranges taken at run time",
    gate=few_bits_gate(0.002),
    recipes={
        "tflite": Recipe(ANY_LITERT, _make_litert, tools=("ai-edge-quantizer",)),
        "onnx": Recipe(ANY_ONNX, _make_onnx, calibrated=True, options=("cpu",)),
    },
)
