"""`int4`: some weights of 4 bits in blocks, the others as in `int8`."""

import sys

from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.artifact.formats import LITERT, ONNX
from vitsd_export.quantization.making import FittedLayers, Making
from vitsd_export.quantization.schemes.scheme import Recipe, Scheme, few_bits_gate


def _make_onnx(making: Making) -> FittedLayers:
    from vitsd_export.quantization.onnx.making import make
    from vitsd_export.quantization.onnx.quantizer import quantize_int4

    # All kernels' rounding needs moments; those of wide layers take more room than the model, so that
    # they are not kept.
    return make(making, quantize_int4, ranged=True, moments_up_to=sys.maxsize, keep=False)


def _make_litert(making: Making) -> FittedLayers:
    from vitsd_export.quantization.litert.calibration import calibrate
    from vitsd_export.quantization.litert.int4 import int4_candidates, quantize_int4

    content, images = making.float32(), making.calibration_images.images
    candidates = int4_candidates(content)
    # Not kept: moments of wide layers take more room than the model.
    calibration = calibrate(
        content,
        images,
        moments_of=[layer.output for layer in candidates],
        progress=making.count_images(),
    ).ranged("minmax")
    making.progress(f"quantizing to {making.scheme}")
    with quiet_converters():
        small, int4 = quantize_int4(
            content, candidates, calibration, images, keep_float=making.keep_float
        )
    making.path.write_bytes(small)
    # Ranges are taken at run time; the images decide which weights are int4 and how they are rounded.
    names = tuple(name.split(";")[-1] for name in int4)
    return FittedLayers(len(calibration.layers), 0, names)


INT4 = Scheme(
    name="int4",
    transformers_suffix="_q4",
    weights="int4 in blocks for the large layers, or for harmless ones if none is; int8 for the rest",
    activations="8 bits in these layers",
    gate=few_bits_gate(0.005),
    recipes={
        LITERT.name: Recipe(
            "LiteRT with XNNPACK", _make_litert, calibrated=True, tools=("ai-edge-quantizer",)
        ),
        ONNX.name: Recipe(
            "onnxruntime 1.20 and later (opset 21)",
            _make_onnx,
            calibrated=True,
            ranged=True,
            options=("cpu",),
        ),
    },
    levels=7,
)
