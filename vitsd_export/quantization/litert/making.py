"""LiteRT artifacts of fewer bits: the float32 file, calibrated if need be, and quantized."""

from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.quantization.calibration.cache import cached
from vitsd_export.quantization.calibration.ranges import Calibration
from vitsd_export.quantization.litert.calibration import calibrate
from vitsd_export.quantization.litert.quantizer import SUFFICIENT_SQNR, quantize
from vitsd_export.quantization.making import FittedLayers, Making


def make(
    making: Making, *, bits: int = 8, weight_only: bool = False, calibrated: bool = False
) -> FittedLayers | None:
    """Makes an artifact; see `quantize` for `bits` and `weight_only`.

    With `calibrated`, layers compute with calibrated ranges wherever these suffice.
    """
    content = making.float32()
    calibration = _calibrate(making, content) if calibrated else None
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
    if calibration is None:
        return None
    static = len(calibration.layers_above(SUFFICIENT_SQNR))
    return FittedLayers(len(calibration.layers), static)


def _calibrate(making: Making, content: bytes) -> Calibration:
    images, histograms = making.calibration_images, making.method != "minmax"
    return cached(
        content,
        images.sha256(),
        f"litert {histograms}",
        lambda: calibrate(
            content, images.images, histograms=histograms, progress=making.count_images()
        ),
    ).ranged(making.method)
