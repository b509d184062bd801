"""From an inference graph to bare artifacts: every format, every numeric scheme, nothing proven yet."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.artifact.manifest import Format
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import UsageError
from vitsd_export.quantization.calibration.cache import cached
from vitsd_export.quantization.calibration.histogram import Method
from vitsd_export.quantization.calibration.ranges import Calibration
from vitsd_export.quantization.schemes import SCHEMES

if TYPE_CHECKING:
    # At run time the import would bring up TensorFlow before its backend is chosen.
    from vitsd_export.lowering.inference_graph import InferenceGraph
    from vitsd_export.quantization.onnx.quantizer import Cpu


@dataclasses.dataclass(frozen=True)
class Target:
    """An artifact to be made.

    Attributes:
        format: `onnx`, `tflite` or `saved_model`.
        path: Where it goes.
        scheme: One of `schemes_of(format)`.
        batch: Images in a call; None leaves it open, and is 1 for LiteRT.
        opset: ONNX operator set; None leaves the choice to the exporter.
        cpu: What an ONNX file's integers are chosen for: see `quantization.onnx.quantize`.
        keep_float: Layers to leave in float32, by name.
        head_rank: Rank of the head's wide layers, or `auto`; None to leave them whole.
    """

    format: Format
    path: Path
    scheme: str = "float32"
    batch: int | None = None
    opset: int | None = None
    cpu: "Cpu" = "avx2"
    keep_float: tuple[str, ...] = ()
    head_rank: int | Literal["auto"] | None = None

    @property
    def calibrated(self) -> bool:
        """Whether calibration images are needed."""
        return self.format in SCHEMES[self.scheme].calibrated_in

    @property
    def ranged(self) -> bool:
        """Whether they give activations their ranges."""
        return self.format in SCHEMES[self.scheme].ranged_in


@dataclasses.dataclass(frozen=True)
class FittedLayers:
    """What calibration images decided in an artifact.

    Attributes:
        weighted: Number of layers with weights.
        calibrated: Number of those that compute with ranges from the images.
        int4: Names of those whose weights are int4.
    """

    weighted: int
    calibrated: int
    int4: tuple[str, ...] = ()


class Conversion:
    """Conversions of one graph, which share its float LiteRT files.

    Args:
        graph: What is converted.
        progress: Called with what is going on.
    """

    def __init__(self, graph: "InferenceGraph", progress: Callable[[str], None]) -> None:
        self._graph = graph
        self._progress = progress
        self._float_litert: dict[int, bytes] = {}

    def write(
        self,
        target: Target,
        path: Path,
        images: ImageDataset | None = None,
        method: Method = "minmax",
    ) -> FittedLayers | None:
        """Writes a bare artifact.

        Args:
            target: What to make.
            path: Where to write it, whatever the target says.
            images: Calibration images, if the scheme needs ranges.
            method: How ranges follow from activations.

        Returns:
            What the images decided, if there were any.

        Raises:
            UsageError: If the scheme cannot be expressed for this model.
            InputError: If the model or the calibration images cannot be used.
        """
        if target.format == "onnx":
            return self._write_onnx(target, path, images, method)
        if target.format == "tflite":
            return self._write_litert(target, path, images, method)
        from vitsd_export.exporters.saved_model import write_saved_model

        with quiet_converters():
            write_saved_model(self._graph, path, batch=target.batch)
        return None

    def _write_onnx(
        self, target: Target, path: Path, images: ImageDataset | None, method: Method
    ) -> FittedLayers | None:
        from vitsd_export.exporters.onnx import write_onnx

        stored = target.scheme if target.scheme in ("float32", "float16") else "float32"
        with quiet_converters():
            write_onnx(self._graph, path, scheme=stored, opset=target.opset, batch=target.batch)
        if stored == target.scheme:
            return None
        import onnx

        from vitsd_export.artifact.onnx_macs import find_products
        from vitsd_export.quantization.onnx.quantizer import quantize

        content = path.read_bytes()
        model = onnx.load_model_from_string(content)
        images = _given(images, target)
        calibration = self._calibrate_onnx(target, model, content, images, method)
        self._progress(f"quantizing to {target.scheme}")
        quantized = quantize(
            model,
            target.scheme,
            calibration,
            cpu=target.cpu,
            keep_float=target.keep_float,
            images=images.images,
        )
        onnx.save(quantized, path)
        if target.scheme not in ("int8", "int4"):
            return FittedLayers(len(calibration.layers), 0)
        products = [each for each in find_products(quantized, onnx) if each.bytes > 0]
        return FittedLayers(
            len(calibration.layers),
            sum(each.numbers == "int8" for each in products),
            tuple(each.name for each in products if each.numbers == "int4"),
        )

    def _calibrate_onnx(
        self, target: Target, model: Any, content: bytes, images: ImageDataset, method: Method
    ) -> Calibration:
        from vitsd_export.quantization.onnx.calibration import calibrate_onnx
        from vitsd_export.quantization.onnx.quantizer import compensated_inputs

        histograms = method != "minmax" and target.ranged
        width = compensated_inputs(target.scheme)

        def calibrate() -> Calibration:
            tell = self._count(len(images))
            return calibrate_onnx(
                model, images.images, histograms=histograms, moments_up_to=width, progress=tell
            )

        if target.scheme == "int4":
            # Moments of wide layers take more room than the model.
            calibration = calibrate()
        else:
            wanted = f"onnx {histograms} {width}"
            calibration = cached(content, images.sha256(), wanted, calibrate)
        return calibration.ranged(method if histograms else "minmax")

    def _write_litert(
        self, target: Target, path: Path, images: ImageDataset | None, method: Method
    ) -> FittedLayers | None:
        if target.scheme == "full-int8":
            return self._write_full_int8(target, path, images, method)
        from vitsd_export.exporters import litert as tflite

        batch = target.batch or 1
        # The other schemes are made from the float32 file, which `all` writes as well.
        if batch not in self._float_litert:
            with quiet_converters():
                self._float_litert[batch] = tflite.convert(self._graph, batch=batch)
        content = self._float_litert[batch]
        fitted = None
        if target.scheme == "int4":
            content, fitted = self._litert_int4(target, content, _given(images, target))
        elif target.scheme != "float32":
            from vitsd_export.quantization.calibration.ranges import calibrate
            from vitsd_export.quantization.litert.quantizer import SUFFICIENT_SQNR, quantize

            calibration = None
            if images is not None:
                calibration = cached(
                    content,
                    images.sha256(),
                    f"litert {method != 'minmax'}",
                    lambda: calibrate(
                        content,
                        images.images,
                        histograms=method != "minmax",
                        progress=self._count(len(images)),
                    ),
                ).ranged(method)
                static = len(calibration.layers_above(SUFFICIENT_SQNR))
                fitted = FittedLayers(len(calibration.layers), static)
            self._progress(f"quantizing to {target.scheme}")
            with quiet_converters():
                content = quantize(
                    content, target.scheme, calibration, keep_float=target.keep_float
                )
        path.write_bytes(content)
        return fitted

    def _litert_int4(
        self, target: Target, content: bytes, images: ImageDataset
    ) -> tuple[bytes, FittedLayers]:
        from vitsd_export.quantization.calibration.ranges import calibrate
        from vitsd_export.quantization.litert.int4 import int4_candidates, quantize_int4

        candidates = int4_candidates(content)
        # Not kept: moments of wide layers take more room than the model.
        calibration = calibrate(
            content,
            images.images,
            moments_of=[layer.output for layer in candidates],
            progress=self._count(len(images)),
        ).ranged("minmax")
        self._progress("quantizing to int4")
        with quiet_converters():
            small, int4 = quantize_int4(
                content, candidates, calibration, images.images, keep_float=target.keep_float
            )
        # Ranges are taken at run time; the images decide which weights are int4 and how they are rounded.
        names = tuple(name.split(";")[-1] for name in int4)
        return small, FittedLayers(len(calibration.layers), 0, names)

    def _write_full_int8(
        self, target: Target, path: Path, images: ImageDataset | None, method: Method
    ) -> FittedLayers | None:
        from vitsd_export.quantization.integer_only.full_int8 import write_full_int8
        from vitsd_export.quantization.litert.layers import weighted_layers

        if target.keep_float:
            raise UsageError(
                "A full-int8 file has no floats: leave out --keep-float, or use the scheme int8."
            )
        images = _given(images, target)
        with quiet_converters():
            content = write_full_int8(
                self._graph,
                images.images,
                batch=target.batch or 1,
                method=method,
                progress=self._count(len(images)),
            )
        path.write_bytes(content)
        count = len(weighted_layers(content))
        return FittedLayers(count, count)

    def _count(self, total: int) -> Callable[[int], None]:
        """Returns what tells of calibration images, now and then."""
        told = 0

        def tell(done: int) -> None:
            nonlocal told
            share = 10 * done // total
            if share > told or done == total:
                told = share
                self._progress(f"calibrating: {done} of {total} images")

        return tell


def _given(images: ImageDataset | None, target: Target) -> ImageDataset:
    if images is None:
        raise ValueError(f"{target.scheme} needs calibration images.")
    return images
