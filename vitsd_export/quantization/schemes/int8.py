"""The schemes with weights of 8 bits: `int8`, `dynamic-int8` and `weight-only-int8`."""

from collections.abc import Callable

from vitsd_export.artifact.formats import LITERT, ONNX
from vitsd_export.quantization.making import FittedLayers, Making
from vitsd_export.quantization.schemes.scheme import (
    ANY_LITERT,
    ANY_ONNX,
    INT8_BY_CHANNEL,
    Recipe,
    Scheme,
    few_bits_gate,
)


def _onnx_static(making: Making) -> FittedLayers:
    from vitsd_export.quantization.onnx.making import make
    from vitsd_export.quantization.onnx.quantizer import quantize_static

    return make(making, quantize_static, ranged=True)


def _onnx_dynamic(making: Making) -> FittedLayers:
    from vitsd_export.quantization.onnx.making import make
    from vitsd_export.quantization.onnx.quantizer import quantize_dynamic

    return make(making, quantize_dynamic)


def _onnx_weight_only(making: Making) -> FittedLayers:
    from vitsd_export.quantization.onnx.making import make
    from vitsd_export.quantization.onnx.quantizer import quantize_weights

    return make(making, quantize_weights)


def _litert(**how: bool) -> Callable[[Making], FittedLayers | None]:
    def make_litert(making: Making) -> FittedLayers | None:
        from vitsd_export.quantization.litert.making import make

        return make(making, **how)

    return make_litert


INT8 = Scheme(
    name="int8",
    transformers_suffix="_quantized",
    weights=INT8_BY_CHANNEL,
    activations="8 bits, ranges calibrated on training images; the attention core in float32",
    gate=few_bits_gate(0.002),
    recipes={
        LITERT.name: Recipe(
            ANY_LITERT,
            _litert(calibrated=True),
            calibrated=True,
            ranged=True,
            tools=("ai-edge-quantizer",),
        ),
        ONNX.name: Recipe(ANY_ONNX, _onnx_static, calibrated=True, ranged=True, options=("cpu",)),
    },
)

DYNAMIC_INT8 = Scheme(
    name="dynamic-int8",
    transformers_suffix="_int8",
    weights=INT8_BY_CHANNEL,
    activations="8 bits, ranges taken at run time",
    gate=few_bits_gate(0.002),
    recipes={
        LITERT.name: Recipe(ANY_LITERT, _litert(), tools=("ai-edge-quantizer",)),
        ONNX.name: Recipe(ANY_ONNX, _onnx_dynamic, calibrated=True, options=("cpu",)),
    },
)

WEIGHT_ONLY_INT8 = Scheme(
    name="weight-only-int8",
    transformers_suffix="_quantized",
    weights=INT8_BY_CHANNEL,
    activations="float32; weights are widened when the file is loaded",
    gate=few_bits_gate(0.002),
    recipes={
        LITERT.name: Recipe(ANY_LITERT, _litert(weight_only=True), tools=("ai-edge-quantizer",)),
        ONNX.name: Recipe(ANY_ONNX, _onnx_weight_only, calibrated=True, options=("cpu",)),
    },
)
