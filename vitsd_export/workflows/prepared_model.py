"""A model that is ready to be exported, and what its exports share."""

import dataclasses
import functools
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.sample import SAMPLE, choose_images
from vitsd_export.data.sources import load_images
from vitsd_export.errors import UsageError
from vitsd_export.measure.gates import keeps_low_rank
from vitsd_export.measure.parity import compare
from vitsd_export.quantization.calibration.held_out import (
    MOST_OBSERVED,
    TrainingImages,
    read_training_images,
)
from vitsd_export.quantization.calibration.image_views import image_views
from vitsd_export.quantization.calibration.images import CalibrationSource, read_calibration_images
from vitsd_export.quantization.making import FittedLayers, Making
from vitsd_export.workflows.targets import Target
from vitsd_export.workflows.verify import Reference, ReferenceAnswers

if TYPE_CHECKING:
    # At run time the import would bring up TensorFlow before its backend is chosen.
    from vitsd_export.lowering.inference_graph import InferenceGraph
    from vitsd_export.quantization.low_rank.heads import HeadCompression, HeadCompressor

_Made = TypeVar("_Made")


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
    def _made(self) -> dict[Hashable, Any]:
        return {}

    def _once(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        if key not in self._made:
            self._made[key] = make()
        made: _Made = self._made[key]
        return made

    @functools.cached_property
    def answers(self) -> ReferenceAnswers:
        """What the Keras model says about the test images that artifacts are verified on."""
        chosen = choose_images(SAMPLE, self.labels)
        data = load_images(chosen, split="test", size=self.graph.image_size)
        self.progress(f"asking the Keras model about {len(data)} images: {data.source}")
        return self.reference.answers(data)

    def calibration_images(self, source: CalibrationSource) -> ImageDataset:
        """Returns the calibration images of a source."""
        return self._once(
            ("calibration", source),
            lambda: read_calibration_images(source, self.graph.image_size, self.progress),
        )

    def training_images(self, source: CalibrationSource) -> TrainingImages:
        """Returns the training images of a source, in two parts.

        Raises:
            UsageError: If they are test images.
            InputError: If they cannot be read, or are too few.
        """
        fitting = source.fitting(self.labels)
        return self._once(
            ("training", fitting),
            lambda: read_training_images(fitting, self.graph.image_size, self.progress),
        )

    def head_compression(
        self, rank: int | Literal["auto"], source: CalibrationSource
    ) -> "HeadCompression":
        """Returns what becomes of the model's head at a rank, whose directions training images choose.

        Raises:
            UsageError: If the model is not lowered, or the rank makes no layer smaller.
            InputError: If the images cannot be used.
        """
        fitting = source.fitting(self.labels)
        return self._once(("head", rank, fitting), lambda: self._compress_head(rank, fitting))

    def _compress_head(
        self, rank: int | Literal["auto"], source: CalibrationSource
    ) -> "HeadCompression":
        lowered = self.graph.lowered
        if lowered is None:
            raise UsageError(
                "Only the head of a lowered model can be compressed, and this one is not: "
                f"{self.graph.not_lowered_because}. Leave out --head-rank."
            )

        def compressor() -> "HeadCompressor":
            from vitsd_export.quantization.low_rank.heads import HeadCompressor

            images = self.training_images(source)
            views = image_views(images.observed.images, MOST_OBSERVED)
            held_out = images.held_out.images
            return HeadCompressor(lowered, views, held_out, _judge_head, self.progress)

        compression = self._once(("compressor", source), compressor).compress(rank)
        if compression.reason is not None:
            self.progress(f"the head stays as it is: {compression.reason}")
        return compression

    def convert(
        self, target: Target, path: Path, images: ImageDataset | None, source: CalibrationSource
    ) -> FittedLayers | None:
        """Writes a bare artifact, not verified and without a manifest.

        Args:
            target: What to make.
            path: Where to write it, whatever the target says.
            images: Calibration images, if the scheme needs any.
            source: Where these come from.

        Returns:
            What the images decided, if there were any.

        Raises:
            UsageError: If the target cannot be expressed.
            InputError: If the model or the images cannot be used.
        """
        graph = self.graph
        if target.head_rank is not None:
            compression = self.head_compression(target.head_rank, source)
            graph = self._once(
                ("graph", id(compression)), lambda: self.graph.with_lowered(compression.graph)
            )
        making = Making(
            scheme=target.scheme,
            graph=graph,
            path=path,
            write_float32=lambda: self._write_float32(graph, target, path),
            options=target.options,
            cpu=target.cpu,
            keep_float=target.keep_float,
            images=images,
            method=target.method(source),
            progress=self.progress,
        )
        return target.recipe.make(making)

    def _write_float32(self, graph: "InferenceGraph", target: Target, path: Path) -> None:
        def write() -> None:
            with quiet_converters():
                target.exporter.write(graph, path, target.options)

        def content() -> bytes:
            write()
            return path.read_bytes()

        if target.exporter.keeps_float32:
            key = ("float32", id(graph), target.format, target.options)
            path.write_bytes(self._once(key, content))
        else:
            write()


def _judge_head(reference: np.ndarray, probabilities: np.ndarray) -> tuple[float, bool]:
    parity = compare(reference, probabilities)
    return parity.kl, keeps_low_rank(parity)
