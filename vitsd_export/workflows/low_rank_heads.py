"""Conversions of a model whose head is of low rank."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from vitsd_export.errors import UsageError
from vitsd_export.measure.gates import keeps_low_rank
from vitsd_export.measure.parity import compare
from vitsd_export.quantization.calibration.held_out import (
    MOST_OBSERVED,
    TrainingImages,
    read_training_images,
)
from vitsd_export.quantization.calibration.image_views import image_views
from vitsd_export.quantization.calibration.images import CalibrationSource
from vitsd_export.workflows.conversion import Conversion

if TYPE_CHECKING:
    # At run time the import would bring up TensorFlow before its backend is chosen.
    from vitsd_export.lowering.inference_graph import InferenceGraph
    from vitsd_export.quantization.low_rank.heads import HeadCompression, HeadCompressor


@dataclasses.dataclass(frozen=True, eq=False)
class CompressedHead:
    """A model with another head: what writes artifacts of it, and what became of the head."""

    conversion: Conversion
    compression: "HeadCompression"


class CompressedHeads:
    """Heads of one model, each made once."""

    def __init__(self, graph: "InferenceGraph", progress: Callable[[str], None]) -> None:
        self._graph = graph
        self._progress = progress
        self._images: dict[CalibrationSource, TrainingImages] = {}
        self._compressors: dict[CalibrationSource, HeadCompressor] = {}
        self._made: dict[tuple[int | Literal["auto"], CalibrationSource], CompressedHead] = {}

    def get(self, rank: int | Literal["auto"], source: CalibrationSource) -> CompressedHead:
        """Returns the model with a head of a rank, whose directions training images choose.

        Raises:
            UsageError: If the model is not lowered, or the rank makes no layer smaller.
            InputError: If the images cannot be used.
        """
        if (rank, source) not in self._made:
            self._made[rank, source] = self._make(rank, source)
        return self._made[rank, source]

    def images(self, source: CalibrationSource) -> TrainingImages:
        """Returns the training images of a source, read once.

        Raises:
            UsageError: If they are test images.
            InputError: If they cannot be read, or are too few.
        """
        if source not in self._images:
            self._images[source] = read_training_images(
                source, self._graph.image_size, self._progress
            )
        return self._images[source]

    def _make(self, rank: int | Literal["auto"], source: CalibrationSource) -> CompressedHead:
        from vitsd_export.quantization.low_rank.heads import HeadCompressor

        if self._graph.lowered is None:
            raise UsageError(
                "Only the head of a lowered model can be compressed, and this one is not: "
                f"{self._graph.not_lowered_because}. Leave out --head-rank."
            )
        if source not in self._compressors:
            images = self.images(source)
            self._compressors[source] = HeadCompressor(
                self._graph.lowered,
                image_views(images.observed.images, MOST_OBSERVED),
                images.held_out.images,
                _judge,
                self._progress,
            )
        compression = self._compressors[source].compress(rank)
        if compression.reason is not None:
            self._progress(f"the head stays as it is: {compression.reason}")
        graph = self._graph.with_lowered(compression.graph)
        return CompressedHead(Conversion(graph, self._progress), compression)


def _judge(reference: np.ndarray, probabilities: np.ndarray) -> tuple[float, bool]:
    parity = compare(reference, probabilities)
    return parity.kl, keeps_low_rank(parity)
