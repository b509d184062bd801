"""From an inference graph to bare artifacts: every format, every numeric scheme, nothing proven yet."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.exporters.exporter import WriteOptions
from vitsd_export.quantization.calibration.histogram import Method
from vitsd_export.quantization.making import FittedLayers, Making
from vitsd_export.workflows.targets import Target

if TYPE_CHECKING:
    # At run time the import would bring up TensorFlow before its backend is chosen.
    from vitsd_export.lowering.inference_graph import InferenceGraph


class Conversion:
    """Conversions of one graph, which share its float32 files where these take long to make."""

    def __init__(self, graph: "InferenceGraph", progress: Callable[[str], None]) -> None:
        self._graph = graph
        self._progress = progress
        self._kept: dict[tuple[str, WriteOptions], bytes] = {}

    def write(
        self,
        target: Target,
        path: Path,
        images: ImageDataset | None = None,
        method: Method = "minmax",
    ) -> FittedLayers | None:
        """Writes a bare artifact; returns what the images decided, if there were any.

        Args:
            target: What to make.
            path: Where to write it, whatever the target says.
            images: Calibration images, if the scheme needs any.
            method: How ranges follow from activations.

        Raises:
            UsageError: If the scheme cannot be expressed for this model.
            InputError: If the model or the calibration images cannot be used.
        """
        making = Making(
            scheme=target.scheme,
            graph=self._graph,
            path=path,
            write_float32=lambda: self._write_float32(target, path),
            options=target.options,
            cpu=target.cpu,
            keep_float=target.keep_float,
            images=images,
            method=method,
            progress=self._progress,
        )
        return target.recipe.make(making)

    def _write_float32(self, target: Target, path: Path) -> None:
        exporter, key = target.exporter, (target.format, target.options)
        if key in self._kept:
            path.write_bytes(self._kept[key])
            return
        with quiet_converters():
            exporter.write(self._graph, path, target.options)
        if exporter.keeps_float32:
            self._kept[key] = path.read_bytes()
