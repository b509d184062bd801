"""`weight-only-int8`: weights of 8 bits, computed in float32."""

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
    from vitsd_export.quantization.onnx.quantizer import quantize_weights

    return make(making, quantize_weights)


def _make_litert(making: Making) -> None:
    from vitsd_export.quantization.litert.making import make

    make(making, weight_only=True)


WEIGHT_ONLY_INT8 = Scheme(
    name="weight-only-int8",
    weights=INT8_BY_CHANNEL,
    activations="float32; weights are widened when the file is loaded",
    gate=few_bits_gate(0.002),
    recipes={
        "tflite": Recipe(ANY_LITERT, _make_litert, tools=("ai-edge-quantizer",)),
        "onnx": Recipe(ANY_ONNX, _make_onnx, calibrated=True, options=("cpu",)),
    },
)
