"""ONNX artifacts of few bits: the float32 file, calibrated and quantized."""

import onnx

from vitsd_export.artifact.onnx_macs import find_products
from vitsd_export.quantization.calibration.cache import cached
from vitsd_export.quantization.calibration.ranges import Calibration
from vitsd_export.quantization.making import FittedLayers, Making
from vitsd_export.quantization.onnx.calibration import calibrate_onnx
from vitsd_export.quantization.onnx.quantizer import Quantizer, Settings
from vitsd_export.quantization.rounding import GROUP


def make(
    making: Making,
    quantize: Quantizer,
    *,
    ranged: bool = False,
    moments_up_to: int = GROUP,
    keep: bool = True,
) -> FittedLayers:
    """Makes an artifact.

    Args:
        making: What to make.
        quantize: One of `onnx.quantizer`.
        ranged: Whether activations get ranges.
        moments_up_to: Second moments are collected for dense layers of at most so many inputs.
        keep: Whether the calibration goes into the cache.
    """
    content = making.float32()
    model = onnx.load_model_from_string(content)
    images = making.calibration_images
    method = making.method if ranged else "minmax"
    histograms = method != "minmax"

    def calibrate() -> Calibration:
        return calibrate_onnx(
            model,
            images.images,
            histograms=histograms,
            moments_up_to=moments_up_to,
            progress=making.count_images(),
        )

    wanted = f"onnx {histograms} {moments_up_to}"
    calibration = cached(content, images.sha256(), wanted, calibrate) if keep else calibrate()
    calibration = calibration.ranged(method)
    making.progress(f"quantizing to {making.scheme}")
    settings = Settings(making.cpu, making.keep_float, images.images)
    quantized = quantize(model, calibration, settings)
    # Shapes that the quantizer inferred for a batch of any size; tract refuses a file in which they
    # contradict a fixed one.
    del quantized.graph.value_info[:]
    onnx.save(quantized, making.path)
    if not ranged:
        return FittedLayers(len(calibration.layers), 0)
    products = [each for each in find_products(quantized) if each.bytes > 0]
    names: dict[str, list[str]] = {}
    for each in products:
        names.setdefault(each.numbers, []).append(each.name)
    return FittedLayers(
        len(calibration.layers), len(names.get("int8", ())), tuple(names.get("int4", ()))
    )
