"""The main job: a trained model becomes artifacts, each verified before it takes its name."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vitsd_export._internal.atomic_write import publish, staging
from vitsd_export.artifact.manifest import Manifest, sidecar_path
from vitsd_export.data.labels import default_labels, named_labels
from vitsd_export.errors import InputError, VerificationError
from vitsd_export.measure.gates import Verification
from vitsd_export.pretrained import DEFAULT_MODEL
from vitsd_export.quantization.calibration.images import CalibrationSource
from vitsd_export.runtimes import open_runner
from vitsd_export.sources.location import loading_step
from vitsd_export.sources.options import InputRange
from vitsd_export.workflows.export_manifest import describe_file, make_manifest
from vitsd_export.workflows.prepared_model import PreparedModel
from vitsd_export.workflows.targets import Target, check
from vitsd_export.workflows.verify import Reference, has_low_rank_head, judge

__all__ = ["CalibrationSource", "Export", "Exported", "Target", "VerificationFailed", "export"]


class VerificationFailed(VerificationError):
    """An artifact missed its gate and was not written; `path` is where it would have gone."""

    def __init__(self, message: str, path: Path, verification: Verification) -> None:
        super().__init__(message)
        self.path = path
        self.verification = verification


@dataclasses.dataclass(frozen=True)
class Exported:
    """An artifact that was made.

    Attributes:
        path: Where it lies.
        manifest: Its manifest, as written beside it.
        verification: The checks it passed; None if they were switched off.
        seconds: Wall time of conversion and verification.
    """

    path: Path
    manifest: Manifest
    verification: Verification | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            "path": str(self.path),
            "format": self.manifest.format,
            "scheme": self.manifest.scheme,
            "bytes": (self.manifest.file or {}).get("bytes"),
            "sha256": (self.manifest.file or {}).get("sha256"),
            "seconds": round(self.seconds, 3),
            "verification": self.verification.to_dict() if self.verification else None,
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Export:
    """How one model is exported, whatever the artifacts. It is loaded at once, for all of them.

    Attributes:
        model: Bundled name, file, SavedModel folder, or address on the Hugging Face hub.
        preset: Architecture of a weights file.
        labels: `fine` or `coarse` for CIFAR-100's, or a file with one class name a line; the model's own,
            or CIFAR's by count, when None.
        output: `probabilities` or `logits`.
        input_type: `uint8` or `float32` pixel values 0–255.
        verify: Whether artifacts are compared with the model before they take their name.
        lowering: Whether the model is lowered where that is possible; otherwise the training graph is
            exported.
        without_rewrites: Names of the lowering's rewrites to leave out.
        progress: Called with what is going on.
        input_range: How the model is loaded: see `SourceOptions`.
        custom_objects: The same.
        trust: The same.

    Raises:
        UsageError: If the options contradict each other, or there is no rewrite of a name.
        InputError: If the model or the labels cannot be used.
        EnvironmentProblem: If TensorFlow is missing.
    """

    model: str | Path = DEFAULT_MODEL
    _: dataclasses.KW_ONLY
    preset: str | None = None
    labels: str | Path | None = None
    output: Literal["probabilities", "logits"] = "probabilities"
    input_type: Literal["uint8", "float32"] = "uint8"
    verify: bool = True
    lowering: bool = True
    without_rewrites: Sequence[str] = ()
    progress: Callable[[str], None] = lambda _: None
    input_range: InputRange | None = None
    custom_objects: str | None = None
    trust: bool = False

    def __post_init__(self) -> None:
        """Loads the model."""
        _ = self.prepared

    @functools.cached_property
    def prepared(self) -> PreparedModel:
        """The model, ready to be exported."""
        progress = self.progress
        given = named_labels(self.labels) if self.labels else None
        progress(loading_step(self.model))
        reference = Reference.load(
            self.model,
            preset=self.preset,
            input_range=self.input_range,
            custom_objects=self.custom_objects,
            trust=self.trust,
        )
        loaded = reference.loaded
        for note in loaded.notes:
            progress(f"about the model: {note}")
        classes = loaded.num_classes
        if given is not None and len(given) != classes:
            raise InputError(
                f"{self.labels} has {len(given)} labels; the model has {classes} classes."
            )

        from vitsd_export.lowering.inference_graph import InferenceGraph

        graph = InferenceGraph(
            loaded,
            answers_probabilities=reference.answers_probabilities,
            input_type=self.input_type,
            output=self.output,
            lowering=self.lowering,
            without=self.without_rewrites,
        )
        if graph.not_lowered_because:
            progress(f"exporting the training graph: {graph.not_lowered_because}")
        labels = given or loaded.labels or default_labels(classes)
        return PreparedModel(reference, graph, labels, progress)

    def run(self, target: Target, calibration: CalibrationSource | None = None) -> Exported:
        """Makes one artifact: see `export`."""
        return export(self.prepared, target, calibration, verify=self.verify)


def export(
    model: PreparedModel,
    target: Target,
    calibration: CalibrationSource | None = None,
    *,
    verify: bool = True,
) -> Exported:
    """Makes one artifact.

    Args:
        model: What to export.
        target: What to make.
        calibration: Where int8 takes its ranges from; the bundled sample that fits when None.
        verify: Whether the artifact is compared with the model before it takes its name.

    Raises:
        UsageError: If the target cannot be expressed.
        InputError: If the model or the calibration images cannot be used.
        VerificationError: If the answers differ from the model's; an old file is left as it was.
        EnvironmentProblem: If the artifact cannot be written.
    """
    check(target)
    started = time.monotonic()
    source = (calibration or CalibrationSource()).fitting(model.labels)
    images = model.calibration_images(source) if target.recipe.calibrated else None
    answers = model.answers if verify else None
    with staging(target.path) as staged:
        model.progress(f"converting to {target.format}, {target.scheme}")
        fitted = model.convert(target, staged, images, source)
        manifest = make_manifest(model, target, source, images, fitted)
        target.exporter.conform(staged, manifest)
        verification = None
        if answers is not None:
            model.progress(f"verifying {target.path.name} on {len(answers.data)} images")
            verification = _verify_staged(
                model, target, staged, low_rank=has_low_rank_head(manifest)
            )
            manifest = dataclasses.replace(manifest, verification=verification.to_dict())
        target.exporter.embed_manifest(staged, manifest)
        _check_embedded(staged, manifest)
        manifest = dataclasses.replace(manifest, file=describe_file(staged))
        beside = sidecar_path(staged)
        beside.write_text(manifest.to_json() + "\n", encoding="utf-8")
        # One right after the other: an old manifest would call the new file damaged.
        publish(staged, target.path)
        publish(beside, sidecar_path(target.path))
    return Exported(target.path, manifest, verification, time.monotonic() - started)


def _verify_staged(
    model: PreparedModel, target: Target, staged: Path, *, low_rank: bool
) -> Verification:
    with open_runner(staged, trusted=True) as runner:
        probabilities = runner.probabilities(model.answers.data.images)
    verification = judge(
        probabilities, model.answers, target.scheme, model.labels, low_rank=low_rank
    )
    if not verification.passed:
        raise VerificationFailed(
            f"{target.path} was not written: the answers of its {target.scheme} version differ from the "
            f"Keras model's: {'; '.join(map(str, verification.failures))}. {target.numbers.remedy}",
            target.path,
            verification,
        )
    return verification


def _check_embedded(staged: Path, manifest: Manifest) -> None:
    """Opens the file as users get it: with its manifest inside it must still load and run."""
    with open_runner(staged, trusted=True) as runner:
        size = runner.image_size
        runner.run(np.zeros((1, size, size, 3), np.uint8))
        if runner.manifest != manifest:
            raise VerificationError(f"{staged.name} does not give back the manifest put into it.")
