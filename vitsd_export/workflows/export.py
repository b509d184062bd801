"""The main job: a trained model becomes artifacts, each verified before it takes its name."""

import dataclasses
import datetime
import functools
import hashlib
import importlib.metadata
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np

from vitsd_export import __version__
from vitsd_export._internal.atomic_write import check_target, publish, staging
from vitsd_export._internal.hashing import file_sha256
from vitsd_export.artifact.manifest import Format, Manifest, TensorSpec, sidecar_path
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.labels import default_labels, named_labels
from vitsd_export.data.sample import SAMPLE, choose_images
from vitsd_export.data.sources import load_images
from vitsd_export.errors import EnvironmentProblem, InputError, UsageError, VerificationError
from vitsd_export.measure.gates import Verification
from vitsd_export.pretrained import DEFAULT_MODEL
from vitsd_export.quantization.calibration.histogram import Method
from vitsd_export.quantization.calibration.images import CalibrationSource, read_calibration_images
from vitsd_export.quantization.schemes import SCHEMES, find_scheme
from vitsd_export.runtimes import open_runner
from vitsd_export.sources.location import loading_step, source_name
from vitsd_export.sources.options import SourceOptions
from vitsd_export.workflows.conversion import Conversion, FittedLayers, Target
from vitsd_export.workflows.low_rank_heads import CompressedHeads
from vitsd_export.workflows.verify import Reference, ReferenceAnswers, judge

if TYPE_CHECKING:
    # At run time the import would bring up TensorFlow before its backend is chosen.
    from vitsd_export.lowering.graph import Graph
    from vitsd_export.quantization.calibration.held_out import TrainingImages
    from vitsd_export.quantization.low_rank.heads import HeadCompression

_SUFFIXES: dict[Format, str] = {"saved_model": "-saved-model", "tflite": ".tflite", "onnx": ".onnx"}
_TOOLS: dict[Format, tuple[str, ...]] = {
    "saved_model": (),
    "tflite": ("ai-edge-litert",),
    "onnx": ("onnx", "onnxruntime"),
}
# Below 13 Softmax and Squeeze mean something else; onnxruntime 1.31 knows no later ones in full.
ONNX_OPSETS = range(13, 27)


class VerificationFailed(VerificationError):
    """An artifact missed its gate and was not written.

    Attributes:
        path: Where it would have gone.
        verification: All checks, passed and failed.
    """

    def __init__(self, message: str, path: Path, verification: Verification) -> None:
        super().__init__(message)
        self.path = path
        self.verification = verification


Progress = Callable[[str], None]


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


def default_name(model: str, format: Format, scheme: str = "float32") -> str:
    """Returns the file name an artifact gets when none is given: `vit-tiny-cifar10-int8.tflite`."""
    infix = "" if scheme == "float32" else f"-{scheme}"
    return f"{source_name(model)}{infix}{_SUFFIXES[format]}"


class Export:
    """Exports of one model, which share its loading, its reference answers and its float LiteRT file.

    Args:
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
        **source: How the model is loaded.

    Raises:
        UsageError: If the options contradict each other, or there is no rewrite of a name.
        InputError: If the model or the labels cannot be used.
        EnvironmentProblem: If TensorFlow is missing.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        *,
        preset: str | None = None,
        labels: str | Path | None = None,
        output: Literal["probabilities", "logits"] = "probabilities",
        input_type: Literal["uint8", "float32"] = "uint8",
        verify: bool = True,
        lowering: bool = True,
        without_rewrites: Sequence[str] = (),
        progress: Progress = lambda _: None,
        **source: Unpack[SourceOptions],
    ) -> None:
        self._progress = progress
        self._verify = verify
        given = named_labels(labels) if labels else None
        progress(loading_step(model))
        self._reference = Reference.load(model, preset=preset, **source)
        self._loaded = self._reference.loaded
        for note in self._loaded.notes:
            progress(f"about the model: {note}")
        classes = self._loaded.num_classes
        if given is not None and len(given) != classes:
            raise InputError(f"{labels} has {len(given)} labels; the model has {classes} classes.")
        self._labels = given or self._loaded.labels or default_labels(classes)

        from vitsd_export.lowering.inference_graph import InferenceGraph

        self._graph = InferenceGraph(
            self._loaded,
            answers_probabilities=self._reference.answers_probabilities,
            input_type=input_type,
            output=output,
            lowering=lowering,
            without=without_rewrites,
        )
        if self._graph.not_lowered_because:
            progress(f"exporting the training graph: {self._graph.not_lowered_because}")
        self._conversion = Conversion(self._graph, progress)
        self._heads = CompressedHeads(self._graph, progress)
        self._calibrations: dict[CalibrationSource, ImageDataset] = {}

    @property
    def image_size(self) -> int:
        """Height and width of the model's images, in pixels."""
        return self._loaded.image_size

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the model's classes."""
        return self._labels

    @property
    def sha256(self) -> str:
        """Digest of the model's file."""
        return self._loaded.sha256

    @property
    def lowered(self) -> "Graph | None":
        """The lowered graph; None for a model of another architecture."""
        return self._graph.lowered

    def head_compression(
        self, rank: int | Literal["auto"], source: CalibrationSource
    ) -> "HeadCompression":
        """Returns what becomes of the model's head at a rank; see `CompressedHeads.get`."""
        return self._heads.get(rank, source.fitting(self._labels)).compression

    def training_images(self, source: CalibrationSource) -> "TrainingImages":
        """Returns training images in two parts; see `CompressedHeads.images`."""
        return self._heads.images(source.fitting(self._labels))

    def run(self, target: Target, calibration: CalibrationSource | None = None) -> Exported:
        """Makes one artifact.

        Args:
            target: What to make.
            calibration: Where int8 takes its ranges from; the bundled sample that fits when None.

        Raises:
            UsageError: If the target cannot be expressed.
            InputError: If the model or the calibration images cannot be used.
            VerificationError: If the artifact does not answer as the model does; the old file, if there
                is one, is left as it was.
            EnvironmentProblem: If the artifact cannot be written.
        """
        check(target)
        started = time.monotonic()
        source = (calibration or CalibrationSource()).fitting(self._labels)
        images = self._calibration_images(source) if target.calibrated else None
        answers = self._answers if self._verify else None
        with staging(target.path) as staged:
            self._progress(f"converting to {target.format}, {target.scheme}")
            fitted = self.convert(target, staged, images, source)
            manifest = self._manifest(target, images, source, fitted)
            if answers is not None:
                self._progress(f"verifying {target.path.name} on {len(answers.data)} images")
                low_rank = manifest.options.get("head", {}).get("rank") is not None
                verification = self._verify_staged(target, staged, answers, low_rank=low_rank)
                manifest = dataclasses.replace(manifest, verification=verification.to_dict())
            else:
                verification = None
            _embed(target.format, staged, manifest)
            _check_embedded(staged, manifest)
            manifest = dataclasses.replace(manifest, file=describe_file(staged))
            beside = sidecar_path(staged)
            beside.write_text(manifest.to_json() + "\n", encoding="utf-8")
            # One right after the other: an old manifest would call the new file damaged.
            publish(staged, target.path)
            publish(beside, sidecar_path(target.path))
        return Exported(target.path, manifest, verification, time.monotonic() - started)

    def _calibration_images(self, source: CalibrationSource) -> ImageDataset:
        if source not in self._calibrations:
            self._calibrations[source] = read_calibration_images(
                source, self.image_size, self._progress
            )
        return self._calibrations[source]

    def convert(
        self, target: Target, path: Path, images: ImageDataset | None, source: CalibrationSource
    ) -> FittedLayers | None:
        """Writes a bare artifact: no manifest, nothing proven.

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
        conversion = self._conversion
        if target.head_rank is not None:
            conversion = self._heads.get(target.head_rank, source.fitting(self._labels)).conversion
        return conversion.write(target, path, images, _method(source, target))

    @functools.cached_property
    def _answers(self) -> ReferenceAnswers:
        chosen = choose_images(SAMPLE, self._labels)
        data = load_images(chosen, split="test", size=self._loaded.image_size)
        self._progress(f"asking the Keras model about {len(data)} images: {data.source}")
        return self._reference.answers(data)

    def _verify_staged(
        self, target: Target, staged: Path, answers: ReferenceAnswers, *, low_rank: bool
    ) -> Verification:
        with open_runner(staged, trusted=True) as runner:
            probabilities = runner.probabilities(answers.data.images)
        verification = judge(probabilities, answers, target.scheme, self._labels, low_rank=low_rank)
        if not verification.passed:
            raise VerificationFailed(
                f"{target.path} was not written: its {target.scheme} version does not answer as the "
                f"Keras model does: {'; '.join(map(str, verification.failures))}. {_remedy(target)}",
                target.path,
                verification,
            )
        return verification

    def _manifest(
        self,
        target: Target,
        images: ImageDataset | None,
        source: CalibrationSource,
        fitted: FittedLayers | None,
    ) -> Manifest:
        graph, loaded = self._graph, self._loaded
        size = graph.image_size
        batch = target.batch or (1 if target.format == "tflite" else None)
        options: dict[str, Any] = {"batch": batch}
        if target.format == "onnx":
            from vitsd_export.exporters.onnx import choose_opset

            options["opset"] = choose_opset(graph, target.opset)
            if target.scheme not in ("float32", "float16"):
                options["cpu"] = target.cpu
        options["rewrites"] = _rewrites(target, graph.rewrites)
        options["runs_on"] = SCHEMES[target.scheme].runs_on[target.format]
        if target.head_rank is not None:
            head = self.head_compression(target.head_rank, source)
            options["head"] = head.to_dict()
        if fitted is not None and fitted.int4:
            options["int4_layers"] = list(fitted.int4)
        if target.keep_float:
            options["keep_float"] = list(target.keep_float)
        ranges = None
        if images is not None and fitted is not None:
            ranges = {
                "source": images.source,
                "split": images.split,
                "count": len(images),
                "seed": source.seed,
                "method": _method(source, target) if target.ranged else None,
                "sha256": images.sha256(),
                "weighted_layers": fitted.weighted,
                "calibrated_layers": fitted.calibrated,
            }
        return Manifest(
            format=target.format,
            scheme=target.scheme,
            input=TensorSpec("image", graph.input_type, (batch, size, size, 3), "RGB pixels 0-255"),
            output=TensorSpec(
                graph.output,
                "int8" if target.scheme == "full-int8" else "float32",
                (batch, *graph.answer_shape),
                graph.output,
            ),
            labels=self._labels,
            source={
                "name": loaded.name,
                "sha256": loaded.sha256,
                "parameters": int(loaded.model.count_params()),
                **loaded.provenance,
                "card": {key: value for key, value in loaded.card.items() if key != "labels"},
            },
            options=options,
            tools=_tool_versions(target, lowered=graph.lowered is not None),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            calibration=ranges,
        )


def check(target: Target) -> None:
    """Checks a target before time is spent on it.

    Raises:
        UsageError: If the format cannot express it, or something else lies where it should go.
        InputError: If the folder it should go to does not exist.
        EnvironmentProblem: If that folder cannot be written to.
    """
    find_scheme(target.scheme, target.format)
    if target.head_rank is not None and target.scheme in ("float32", "float16"):
        raise UsageError(
            f"A head of low rank changes the answers by more than {target.scheme} may. Choose a scheme of "
            "8 bits or fewer, or leave out --head-rank."
        )
    if target.batch is not None and target.batch < 1:
        raise UsageError(f"The batch must be at least 1, not {target.batch}.")
    if target.format == "onnx" and target.opset is not None and target.opset not in ONNX_OPSETS:
        raise UsageError(
            f"Opset {target.opset} cannot be written; choose {ONNX_OPSETS.start} to "
            f"{ONNX_OPSETS.stop - 1}."
        )
    check_target(target.path, folder=target.format == "saved_model")
    beside = sidecar_path(target.path)
    if beside.is_dir():
        raise UsageError(
            f"{beside}, where the artifact's manifest goes, is a folder. Choose another --output."
        )


def make_folder(folder: Path) -> None:
    """Makes a folder for artifacts if it is missing.

    Raises:
        InputError: If the folder around it does not exist, or a file has its name.
        EnvironmentProblem: If it cannot be made.
    """
    if folder.is_dir():
        return
    if folder.exists() or not folder.parent.is_dir():
        raise InputError(
            f"The output folder {folder} cannot be made: "
            + ("a file has that name." if folder.exists() else f"{folder.parent} does not exist.")
        )
    try:
        folder.mkdir()
    except OSError as error:
        raise EnvironmentProblem(
            f"The folder {folder} cannot be made: {error.strerror}."
        ) from error


def _remedy(target: Target) -> str:
    if target.scheme == "float32":
        return "This is a fault of the conversion: please report it with the model's architecture."
    if target.scheme == "float16":
        return "Export float32 instead."
    return (
        "Calibrate on images like those it will see (--calibration-data), or use a scheme with more "
        "bits: --scheme dynamic-int8, float16 or float32."
    )


def _rewrites(target: Target, applied: Sequence[str]) -> list[str]:
    """The rewrites that are in the artifact."""
    from vitsd_export.lowering.rewrites import patch_windows

    # Integers alone take the patches themselves: see `litert_full_int8.integer_graph`.
    left_out = {patch_windows.NAME} if target.scheme == "full-int8" else set()
    return [name for name in applied if name not in left_out]


def _method(source: CalibrationSource, target: Target) -> Method:
    return source.method or SCHEMES[target.scheme].method


def _embed(format: Format, staged: Path, manifest: Manifest) -> None:
    if format == "onnx":
        from vitsd_export.exporters.onnx import embed_manifest
    elif format == "tflite":
        from vitsd_export.exporters.litert import embed_manifest
    else:
        from vitsd_export.exporters.saved_model import embed_manifest
    embed_manifest(staged, manifest)


def _check_embedded(staged: Path, manifest: Manifest) -> None:
    """Opens the file as users get it: with its manifest inside it must still load and run."""
    with open_runner(staged, trusted=True) as runner:
        size = runner.image_size
        runner.run(np.zeros((1, size, size, 3), np.uint8))
        if runner.manifest != manifest:
            raise VerificationError(f"{staged.name} does not give back the manifest put into it.")


def describe_file(path: Path) -> dict[str, Any]:
    """Returns `bytes` and `sha256` of an artifact; of a folder, that of its list of files and digests."""
    if path.is_file():
        return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listing = "".join(
        f"{file_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files
    )
    return {
        "bytes": sum(file.stat().st_size for file in files),
        "sha256": hashlib.sha256(listing.encode()).hexdigest(),
    }


def _tool_versions(target: Target, *, lowered: bool) -> dict[str, str]:
    names = ["keras", "tensorflow", "numpy", *_TOOLS[target.format]]
    if target.format == "onnx" and not lowered:
        names.append("tf2onnx")
    if target.format == "tflite" and target.scheme != "float32":
        names.append("ai-edge-quantizer")
    return {
        "python": platform.python_version(),
        "vitsd-export": __version__,
        **{name: importlib.metadata.version(name) for name in names},
    }
