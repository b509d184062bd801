"""A model that is ready to be exported, and what its exports share."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.sample import SAMPLE, choose_images
from vitsd_export.data.sources import load_images
from vitsd_export.quantization.calibration.images import CalibrationSource, read_calibration_images
from vitsd_export.quantization.making import FittedLayers
from vitsd_export.workflows.conversion import Conversion
from vitsd_export.workflows.low_rank_heads import CompressedHeads
from vitsd_export.workflows.targets import Target
from vitsd_export.workflows.verify import Reference, ReferenceAnswers

if TYPE_CHECKING:
    # At run time the import would bring up TensorFlow before its backend is chosen.
    from vitsd_export.lowering.inference_graph import InferenceGraph
    from vitsd_export.quantization.calibration.held_out import TrainingImages
    from vitsd_export.quantization.low_rank.heads import HeadCompression


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedModel:
    """A loaded model with its inference graph.

    Images, reference answers, compressed heads and slow float32 files are made once, when they are needed.

    Attributes:
        reference: The Keras model.
        graph: Its inference graph.
        labels: Names of its classes.
        progress: Called with what is going on.
    """

    reference: Reference
    graph: "InferenceGraph"
    labels: tuple[str, ...]
    progress: Callable[[str], None]

    @functools.cached_property
    def answers(self) -> ReferenceAnswers:
        """What the Keras model says about the test images that artifacts are verified on."""
        chosen = choose_images(SAMPLE, self.labels)
        data = load_images(chosen, split="test", size=self.graph.image_size)
        self.progress(f"asking the Keras model about {len(data)} images: {data.source}")
        return self.reference.answers(data)

    @functools.cached_property
    def _conversion(self) -> Conversion:
        return Conversion(self.graph, self.progress)

    @functools.cached_property
    def _heads(self) -> CompressedHeads:
        return CompressedHeads(self.graph, self.progress)

    @functools.cached_property
    def _images(self) -> dict[CalibrationSource, ImageDataset]:
        return {}

    def calibration_images(self, source: CalibrationSource) -> ImageDataset:
        """Returns the calibration images of a source, read once."""
        if source not in self._images:
            self._images[source] = read_calibration_images(
                source, self.graph.image_size, self.progress
            )
        return self._images[source]

    def training_images(self, source: CalibrationSource) -> "TrainingImages":
        """Returns training images in two parts; see `CompressedHeads.images`."""
        return self._heads.images(source.fitting(self.labels))

    def head_compression(
        self, rank: int | Literal["auto"], source: CalibrationSource
    ) -> "HeadCompression":
        """Returns what becomes of the model's head at a rank; see `CompressedHeads.get`."""
        return self._heads.get(rank, source.fitting(self.labels)).compression

    def convert(
        self, target: Target, path: Path, images: ImageDataset | None, source: CalibrationSource
    ) -> FittedLayers | None:
        """Writes a bare artifact: no manifest, nothing proven; see `Conversion.write`."""
        conversion = self._conversion
        if target.head_rank is not None:
            conversion = self._heads.get(target.head_rank, source.fitting(self.labels)).conversion
        return conversion.write(target, path, images, target.method(source))
