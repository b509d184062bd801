"""What a scheme is given to make an artifact of, and what it tells of it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vitsd_export.data.dataset import ImageDataset
from vitsd_export.exporters.exporter import WriteOptions
from vitsd_export.quantization.calibration.histogram import Method

if TYPE_CHECKING:
    # At run time the import would bring up TensorFlow before its backend is chosen.
    from vitsd_export.lowering.inference_graph import InferenceGraph

Cpu = Literal["avx2", "vnni", "arm"]


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


@dataclasses.dataclass(frozen=True, eq=False)
class Making:
    """An artifact to be made, and what it is made of.

    Attributes:
        scheme: Name of the scheme.
        graph: The inference graph.
        path: Where the artifact goes.
        write_float32: Writes the float32 artifact of the format to `path`.
        options: How artifacts of the format are written.
        cpu: What integers are chosen for where the format does not settle it: see `quantization.onnx`.
        keep_float: Names of layers to leave in float32.
        images: Calibration images; given if the recipe is calibrated.
        method: How ranges follow from activations.
        progress: Called with what is going on.
    """

    scheme: str
    graph: "InferenceGraph"
    path: Path
    write_float32: Callable[[], None]
    options: WriteOptions
    cpu: Cpu
    keep_float: tuple[str, ...]
    images: ImageDataset | None
    method: Method
    progress: Callable[[str], None]

    def float32(self) -> bytes:
        """Returns the content of the float32 file, which is then at `path`."""
        self.write_float32()
        return self.path.read_bytes()

    @property
    def calibration_images(self) -> ImageDataset:
        """The images, of a scheme that cannot do without."""
        if self.images is None:
            raise ValueError(f"{self.scheme} needs calibration images.")
        return self.images

    def count_images(self) -> Callable[[int], None]:
        """Returns what tells of calibration images, now and then."""
        total, told = len(self.calibration_images), 0

        def tell(done: int) -> None:
            nonlocal told
            share = 10 * done // total
            if share > told or done == total:
                told = share
                self.progress(f"calibrating: {done} of {total} images")

        return tell
