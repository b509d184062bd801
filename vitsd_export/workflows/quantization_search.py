"""The best artifact of a model within a loss of accuracy: candidates are made, measured and chosen from."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from vitsd_export import __version__
from vitsd_export.artifact.formats import FORMATS, ONNX
from vitsd_export.artifact.manifest import Format
from vitsd_export.errors import UsageError
from vitsd_export.measure.accuracy import hits_top_k
from vitsd_export.measure.benchmark.latency import time_alternating
from vitsd_export.quantization.calibration.held_out import TrainingImages
from vitsd_export.quantization.calibration.images import CalibrationSource
from vitsd_export.quantization.making import Cpu
from vitsd_export.quantization.schemes import BASELINE, SCHEMES, schemes_of
from vitsd_export.quantization.search import (
    Configuration,
    Figures,
    Objective,
    Outcome,
    SearchSpace,
    search,
)
from vitsd_export.runtimes import open_runner
from vitsd_export.runtimes.base import ImageRunner
from vitsd_export.sources.options import LoadingOptions
from vitsd_export.workflows.export import Export, Exported
from vitsd_export.workflows.prepared_model import PreparedModel
from vitsd_export.workflows.targets import Target, check

# Rounds of calls in turn with the float32 artifact: enough for a median within a few percent, in seconds.
_ROUNDS = 60
# Images that the most sensitive layers are found by: their order needs no more.
_SENSITIVITY_IMAGES = 256


@dataclasses.dataclass(frozen=True)
class Quantized:
    """What came of a search.

    Attributes:
        outcome: All candidates and the best.
        images: What the candidates were measured on.
        exported: The best artifact, verified on test images and written.
    """

    outcome: Outcome
    images: str
    exported: Exported

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            **self.outcome.to_dict(),
            "images": self.images,
            "artifact": self.exported.to_dict(),
        }


@dataclasses.dataclass(frozen=True)
class SearchRequest:
    """What is searched.

    Attributes:
        output: Where the best artifact goes.
        format: Name of a format that has schemes of few bits: `onnx` or `tflite`.
        max_drop: Allowed loss of top-1 accuracy on the held-out images, in percentage points.
        objective: What is to be least: `latency` or `size`.
        schemes: Schemes to try; all 8-bit ones and below of the format when empty.
        cpu: What integers are chosen for in ONNX.
        source: Training images.
        state: File that measurements are saved in, so that a search that was stopped goes on.
    """

    output: Path
    format: Format = ONNX.name
    max_drop: float = 0.3
    objective: Objective = "latency"
    schemes: Sequence[str] = ()
    cpu: Cpu = "avx2"
    source: CalibrationSource = dataclasses.field(default_factory=CalibrationSource)
    state: Path | None = None


def quantize_model(
    model: str | Path,
    request: SearchRequest,
    *,
    progress: Callable[[str], None] = lambda _: None,
    **options: Unpack[LoadingOptions],
) -> Quantized:
    """Finds the artifact that is fastest or smallest within a loss of accuracy, and writes it.

    Candidates are measured on held-out training images; the one that is chosen is verified on the
    bundled test images like every export.

    Args:
        model: Bundled name, file, SavedModel folder, or address on the Hugging Face hub.
        request: What is searched.
        progress: Called with what is going on.
        **options: How the model is loaded.

    Raises:
        UsageError: If the options contradict each other.
        InputError: If the model, the images or the state cannot be used.
        VerificationError: If the best candidate misses its gate on the test images.
        EnvironmentProblem: If something cannot be written, or TensorFlow is missing.
    """
    form, source = request.format, request.source
    chosen = tuple(request.schemes) or tuple(
        name for name in schemes_of(form) if SCHEMES[name].few_bits
    )
    for scheme in chosen:
        check(Target(form, request.output, scheme))
    export = Export(model, progress=progress, **options)
    with tempfile.TemporaryDirectory(prefix="vitsd-export-") as folder:
        images = export.prepared.training_images(source)
        with _Trials(export.prepared, request, images, Path(folder)) as trials:
            outcome = search(
                trials.measure,
                SearchSpace(
                    chosen,
                    trials.head_ranks(),
                    trials.layer_count,
                    request.max_drop,
                    request.objective,
                ),
                state=request.state,
                identity={
                    "vitsd-export": __version__,
                    "model": export.prepared.reference.loaded.sha256,
                    "format": form,
                    "cpu": request.cpu,
                    "calibration": images.calibration.sha256(),
                    "held_out": images.held_out.sha256(),
                },
                progress=progress,
            )
        progress(f"writing {outcome.best.name}")
        exported = export.run(trials.target(outcome.best, request.output), source)
    return Quantized(outcome, f"{len(images.held_out)} of {images.held_out.source}", exported)


class _Trials(contextlib.ExitStack):
    """Makes and measures candidates of one model."""

    def __init__(
        self, model: PreparedModel, request: SearchRequest, images: TrainingImages, folder: Path
    ) -> None:
        super().__init__()
        self._model = model
        self._request = request
        self._images = images
        self._folder = folder
        self._baseline: ImageRunner | None = None
        self._expected: np.ndarray | None = None
        self._layers: dict[tuple[int, int | None], tuple[str, ...]] = {}

    def head_ranks(self) -> tuple[int | None, ...]:
        """Returns the ranks to try: none, the first that suffices, and twice as much."""
        if self._model.graph.lowered is None:
            return (None,)
        rank = self._model.head_compression("auto", self._request.source).rank
        if rank is None:
            return (None,)
        try:
            self._model.head_compression(2 * rank, self._request.source)
        except UsageError:
            # Twice as much takes more weights than the head as it is.
            return (None, rank)
        return (None, rank, 2 * rank)

    @property
    def layer_count(self) -> int:
        """Number of layers that can stay in float32; those of other architectures have no names here."""
        from vitsd_export.lowering.dense_layers import dense_layers

        graph = self._model.graph.lowered
        return 0 if graph is None else len(dense_layers(graph))

    def layers(self, scheme: str, rank: int | None) -> tuple[str, ...]:
        """Returns the names of the layers, the most sensitive first."""
        graph = self._model.graph.lowered
        if graph is None:
            return ()
        if rank is not None:
            graph = self._model.head_compression(rank, self._request.source).graph
        levels = SCHEMES[scheme].levels
        if (levels, rank) not in self._layers:
            from vitsd_export.quantization.calibration.isolated_layers import isolated_sensitivity

            images = self._images.held_out.images[:_SENSITIVITY_IMAGES]
            found = isolated_sensitivity(
                graph, images, levels=levels, progress=self._model.progress
            )
            self._layers[levels, rank] = tuple(layer.name for layer in found)
        return self._layers[levels, rank]

    def target(self, candidate: Configuration, path: Path) -> Target:
        """Returns the target that makes a candidate."""
        kept: tuple[str, ...] = ()
        if candidate.float_layers:
            names = self.layers(candidate.scheme, candidate.head_rank)
            kept = names[: candidate.float_layers]
        return Target(
            self._request.format,
            path,
            candidate.scheme,
            cpu=self._request.cpu,
            keep_float=kept,
            head_rank=candidate.head_rank,
        )

    def measure(self, candidate: Configuration) -> Figures:
        """Makes a candidate and measures it beside the float32 artifact."""
        data = self._images.held_out
        baseline, expected = self._float32()
        is_baseline = candidate == Configuration(BASELINE)
        with contextlib.ExitStack() as stack:
            runner = baseline if is_baseline else stack.enter_context(self._made(candidate))
            probabilities = runner.probabilities(data.images)
            ratio = 1.0 if is_baseline else _latency_ratio(runner, baseline, data.images[:1])
            size = runner.path.stat().st_size if runner.path is not None else 0
        labels = data.labels_for(self._model.labels)
        named = probabilities.argmax(axis=1)
        largest = expected.max(axis=1)
        return Figures(
            images=len(data),
            correct=None if labels is None else int(hits_top_k(probabilities, labels).sum()),
            agreeing=int(np.count_nonzero(named == expected.argmax(axis=1))),
            expected_loss=float((largest - expected[np.arange(len(named)), named]).mean()),
            latency_ratio=ratio,
            bytes=size,
        )

    def _float32(self) -> tuple[ImageRunner, np.ndarray]:
        """Returns the float32 artifact and its probabilities [N, classes]."""
        if self._baseline is None or self._expected is None:
            self._baseline = self.enter_context(self._made(Configuration(BASELINE)))
            self._expected = self._baseline.probabilities(self._images.held_out.images)
        return self._baseline, self._expected

    def _made(self, candidate: Configuration) -> ImageRunner:
        path = (
            Path(tempfile.mkdtemp(dir=self._folder))
            / f"artifact{FORMATS[self._request.format].suffix}"
        )
        target = self.target(candidate, path)
        self._model.convert(target, path, self._images.calibration, self._request.source)
        return open_runner(path, threads=1, trusted=True)


def _latency_ratio(runner: ImageRunner, baseline: ImageRunner, image: np.ndarray) -> float:
    """Returns the median time of a call by that of the baseline, both called in turn."""
    times = time_alternating(
        {"baseline": lambda: baseline.run(image), "candidate": lambda: runner.run(image)},
        rounds=_ROUNDS,
    )
    return times["candidate"].p50 / times["baseline"].p50
