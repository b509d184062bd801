"""LiteRT artifacts of fewer bits: the float32 file, calibrated if need be, and quantized."""

from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.quantization.calibration.cache import cached
from vitsd_export.quantization.calibration.ranges import Calibration, calibrate
from vitsd_export.quantization.litert.quantizer import SUFFICIENT_SQNR, quantize
from vitsd_export.quantization.making import FittedLayers, Making


def make(making: Making, *, bits: int = 8, weight_only: bool = False) -> None:
    """Makes an artifact without calibration; see `quantize` for the arguments."""
    _quantize(making, making.float32(), None, bits=bits, weight_only=weight_only)


def make_calibrated(making: Making) -> FittedLayers:
    """Makes an artifact whose layers compute with calibrated ranges wherever these suffice."""
    content, images = making.float32(), making.calibration_images
    histograms = making.method != "minmax"
    calibration = cached(
        content,
        images.sha256(),
        f"litert {histograms}",
        lambda: calibrate(
            content, images.images, histograms=histograms, progress=making.count_images()
        ),
    ).ranged(making.method)
    _quantize(making, content, calibration)
    static = len(calibration.layers_above(SUFFICIENT_SQNR))
    return FittedLayers(len(calibration.layers), static)


def _quantize(
    making: Making,
    content: bytes,
    calibration: Calibration | None,
    *,
    bits: int = 8,
    weight_only: bool = False,
) -> None:
    making.progress(f"quantizing to {making.scheme}")
    with quiet_converters():
        small = quantize(
            content,
            calibration,
            bits=bits,
            weight_only=weight_only,
            keep_float=making.keep_float,
        )
    making.path.write_bytes(small)
