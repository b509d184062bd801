"""`float16`: weights in half precision, computed in float32."""

from fractions import Fraction

from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.artifact.formats import LITERT, ONNX
from vitsd_export.quantization.making import Making
from vitsd_export.quantization.schemes.scheme import ANY_LITERT, ANY_ONNX, Gate, Recipe, Scheme


def _make_onnx(making: Making) -> None:
    from vitsd_export.exporters.onnx import write_onnx

    options = making.options
    with quiet_converters():
        write_onnx(making.graph, making.path, half=True, opset=options.opset, batch=options.batch)


def _make_litert(making: Making) -> None:
    from vitsd_export.quantization.litert.making import make

    make(making, bits=16, weight_only=True)


FLOAT16 = Scheme(
    name="float16",
    transformers_suffix="_fp16",
    weights="float16",
    activations="float32",
    gate=Gate(max_abs_difference=5e-3, top1_agreement=Fraction(995, 1000)),
    recipes={
        LITERT.name: Recipe(ANY_LITERT, _make_litert, tools=("ai-edge-quantizer",)),
        ONNX.name: Recipe(ANY_ONNX, _make_onnx),
    },
    few_bits=False,
    remedy="Export float32 instead.",
)
