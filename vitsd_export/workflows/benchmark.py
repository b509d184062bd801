"""Benchmarks of artifacts beside the Keras model they were made from."""

import dataclasses
import datetime
import importlib.metadata
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from vitsd_export import __version__
from vitsd_export._internal.progress import Progress, no_progress
from vitsd_export.artifact.format_detection import find_format
from vitsd_export.artifact.manifest import Manifest
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.labels import default_labels
from vitsd_export.data.sample import SAMPLE_TITLES, choose_images
from vitsd_export.data.sources import load_images
from vitsd_export.errors import UsageError
from vitsd_export.measure.benchmark.engine import Conditions, run_engine
from vitsd_export.measure.benchmark.machine import describe_machine
from vitsd_export.measure.benchmark.results import KERAS, Candidate, Results, Row
from vitsd_export.measure.benchmark.settings import Settings
from vitsd_export.quantization.schemes import BASELINE
from vitsd_export.runtimes.registry import find_runner, runner_names
from vitsd_export.sources.options import LoadingOptions

if TYPE_CHECKING:
    from vitsd_export.workflows.verify import Reference

_KERAS_RUNTIME = "keras-tensorflow"
_PACKAGES = (
    "ai-edge-litert",
    "ai-edge-quantizer",
    "jax",
    "keras",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "tensorflow",
    "tf2onnx",
    "torch",
)


@dataclasses.dataclass(frozen=True)
class BenchmarkRequest:
    """What is measured.

    Attributes:
        artifacts: ONNX or LiteRT files, SavedModel folders.
        reference: The model; the bundled one that the artifacts name when None.
        data: Test images: `sample` (bundled; see `choose_images`), `cifar10`, `cifar100`, or a folder.
        data_dir: Where CIFAR lies if `data` is its name.
        settings: Options of the run.
        runtimes: The only ones to use, of `runtimes.registry.runner_names()`; all when None.
        force: Measures an artifact all the same whose manifest names another model's file.
        command: The command line, for the record.
    """

    artifacts: Sequence[Path]
    reference: str | None = None
    data: str = "sample"
    data_dir: Path | None = None
    settings: Settings = dataclasses.field(default_factory=Settings)
    runtimes: Sequence[str] | None = None
    force: bool = False
    command: str = ""


def benchmark_artifacts(
    request: BenchmarkRequest,
    *,
    on_results: Callable[[Results], None] = lambda results: None,
    progress: Progress = no_progress,
    **loading: Unpack[LoadingOptions],
) -> Results:
    """Measures artifacts in every runtime that reads them, beside the Keras model they were made from.

    Times are compared as follows: another runtime's with those of the runtime that the format is made for
    on the same file; a quantized file's with those of the float32 file of its format, where that is given;
    the others with Keras on TensorFlow.

    Args:
        request: What is measured.
        on_results: Called with the results so far whenever they have grown.
        progress: Told how far the run is.
        **loading: How the reference is loaded.

    Returns:
        The figures; a candidate that failed has a row that says why.

    Raises:
        InputError: If an artifact is missing, or the reference or the images cannot be used.
        UsageError: If an artifact belongs to another model, names none that is bundled, or no runtime of
            those wanted reads it.
        VerificationError: If the reference itself answers NaN.
        EnvironmentProblem: If TensorFlow is missing.
    """
    # Not above: it brings up TensorFlow's classes, which the command's help does without.
    from vitsd_export.workflows.verify import Reference, bundled_source

    if not request.artifacts:
        raise UsageError("There is nothing to measure. Name at least one artifact.")
    # Without the help of a runtime. A file too damaged to hold one has none: its runtime will say so.
    manifests = {path: find_format(path).read_manifest(path) for path in request.artifacts}
    names = [
        request.reference or bundled_source(path, manifest) for path, manifest in manifests.items()
    ]
    if len(set(names)) > 1:
        raise UsageError(
            f"The artifacts were made from several models ({', '.join(dict.fromkeys(names))}). Measure "
            "those of one model at a time."
        )
    progress("loading the model")
    model = Reference.load(names[0], **loading)
    loaded = model.loaded
    if not request.force:
        for path, manifest in manifests.items():
            _check_belongs(path, manifest, loaded.sha256, str(loaded.path))
    keras_path = None if any(loading.values()) else loaded.path
    candidates = list_candidates(manifests, keras_path, request.runtimes)
    bench = prepare(model, request.data, request.data_dir, request.settings, request.command)
    return measure(candidates, bench, on_results=on_results, progress=progress)


@dataclasses.dataclass(frozen=True)
class Bench:
    """What candidates are measured with.

    Attributes:
        model: The reference.
        class_names: Its classes.
        images: Test images of its size.
        settings: Options of the run.
        command: The command line, for the record.
        notes: What else the results record with the settings.
    """

    model: "Reference"
    class_names: Sequence[str]
    images: ImageDataset
    settings: Settings
    command: str
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)


def prepare(
    model: "Reference", data: str, data_dir: Path | None, settings: Settings, command: str
) -> Bench:
    """Loads the test images for a reference; see `BenchmarkRequest`.

    Raises:
        InputError: If the images cannot be used.
    """
    loaded = model.loaded
    class_names = loaded.labels or default_labels(loaded.num_classes)
    images = load_images(
        choose_images(data, class_names), split="test", size=loaded.image_size, data_dir=data_dir
    )
    return Bench(model, class_names, images, settings, command)


def measure(
    candidates: Sequence[Candidate],
    bench: Bench,
    *,
    lost: Mapping[str, Row] | None = None,
    earlier: Results | None = None,
    on_results: Callable[[Results], None] = lambda results: None,
    progress: Progress = no_progress,
) -> Results:
    """Measures candidates beside the reference.

    Args:
        candidates: What to measure, in the order of the rows.
        bench: What they are measured with.
        lost: Rows of candidates that there is no file of, by name.
        earlier: A run that was broken off. Its rows are kept if all that they depend on is the same.
        on_results: Called with the results so far whenever they have grown.
        progress: Told how far the run is.
    """
    images, loaded, settings = bench.images, bench.model.loaded, bench.settings
    progress(f"asking the Keras model about {len(images)} images: {images.source}")
    answers = bench.model.answers(images)
    progress("measuring the machine")
    results = Results(
        command=bench.command,
        started=_now(),
        finished=None,
        machine=describe_machine(settings.threads),
        versions=list_versions(),
        model={"name": loaded.name, "sha256": loaded.sha256},
        data=describe_data(images, bench.class_names),
        # As they are read back: with lists.
        settings=json.loads(json.dumps({**dataclasses.asdict(settings), **bench.notes})),
        rows=(),
    )
    lost = lost or {}
    done: dict[str, Row] = {}
    if earlier is not None and _conditions(earlier) == _conditions(results):
        results = dataclasses.replace(results, started=earlier.started)
        # What failed is tried again.
        done = {
            row.candidate.name: row
            for row in earlier.rows
            if row.candidate in candidates and row.state == "measured"
        }
        progress(f"resuming the run of {earlier.started}: {len(done)} rows are there")

    rows = {**done, **lost}

    def keep(row: Row) -> None:
        rows[row.candidate.name] = row
        ordered = tuple(rows[one.name] for one in candidates if one.name in rows)
        on_results(dataclasses.replace(results, rows=ordered))

    alone = [speed for speed in results.machine.speeds if speed.threads == 1]
    speed = alone[0] if alone else None
    measured = run_engine(
        [candidate for candidate in candidates if candidate.name not in lost],
        Conditions(images, bench.class_names, answers.probabilities, settings, speed),
        done=done,
        on_row=keep,
        progress=progress,
    )
    rows |= {row.candidate.name: row for row in measured}
    ordered = tuple(rows[candidate.name] for candidate in candidates)
    return dataclasses.replace(results, finished=_now(), rows=ordered)


def _conditions(results: Results) -> tuple[object, ...]:
    """Returns what the figures of a run depend on, but for the candidates' files."""
    machine = results.machine
    known = (results.model, results.data, results.settings, results.versions)
    return (*known, machine.processor, machine.cores)


def list_candidates(
    manifests: Mapping[Path, Manifest | None],
    keras_path: Path | None,
    runtimes: Sequence[str] | None = None,
) -> list[Candidate]:
    """Returns each artifact in each runtime that reads it, and the Keras model.

    Args:
        manifests: By artifact.
        keras_path: The reference model's file; left out unless it is a .keras file.
        runtimes: The only ones to use; all when None.

    Raises:
        UsageError: If there is no such runtime, or none of them reads one of the artifacts.
    """
    readers = _readers(runtimes)
    is_keras = keras_path is not None and keras_path.suffix == ".keras"
    backends = readers.get(KERAS, []) if is_keras else []
    keras = _KERAS_RUNTIME if _KERAS_RUNTIME in backends else None
    candidates = [
        Candidate(
            runtime,
            runtime,
            KERAS,
            BASELINE,
            path=str(keras_path),
            baseline=None if runtime == keras else keras,
        )
        for runtime in backends
    ]
    forms = {path: find_format(path) for path in manifests}
    schemes = {path: manifest.scheme if manifest else None for path, manifest in manifests.items()}
    floats = {forms[path]: path for path in reversed(list(manifests)) if schemes[path] == BASELINE}
    names = _names(list(manifests))
    for path, form in forms.items():
        found = readers.get(form.name, [])
        if not found:
            raise UsageError(
                f"{path} is of the format {form.name}, which none of the runtimes "
                f"{', '.join(runtimes or ())} reads. Name one that does, or leave --runtime out."
            )
        main = form.runtime if form.runtime in found else found[0]
        for runtime in sorted(found, key=lambda one: one != main):
            name, baseline = f"{names[path]} ({runtime})", names.get(path)
            if runtime == main:
                name = names[path]
                base = floats.get(form)
                baseline = names[base] if base is not None and base != path else keras
            candidates.append(
                Candidate(
                    name, runtime, form.name, schemes[path], path=str(path), baseline=baseline
                )
            )
    return candidates


def _readers(runtimes: Sequence[str] | None) -> dict[str, list[str]]:
    """Returns the runtimes that read each format."""
    known = runner_names()
    for name in runtimes or ():
        if name not in known:
            raise UsageError(f"There is no runtime {name!r}. Runtimes: {', '.join(known)}.")
    readers: dict[str, list[str]] = {}
    for name in known:
        if runtimes is None or name in runtimes:
            for kind in find_runner(name).formats:
                readers.setdefault(kind, []).append(name)
    return readers


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """Returns short names: those of the files, or their whole paths where these are not unique."""
    short = [path.resolve().name for path in paths]
    return {
        path: name if short.count(name) == 1 else str(path)
        for path, name in zip(paths, short, strict=True)
    }


def describe_data(images: ImageDataset, class_names: Sequence[str]) -> dict[str, str | int]:
    """Returns what results say of the images they are of, beside `ImageDataset.describe`'s their number."""
    # A sample is not called `cifar10`: it is 500 of its images. Of a user's folder the name will do.
    titles = [title for title in SAMPLE_TITLES.values() if images.source.startswith(title)]
    source = titles[0] if titles else images.name
    return {**images.describe(class_names), "source": source, "images": len(images)}


def _check_belongs(path: Path, manifest: Manifest | None, sha256: str, reference: str) -> None:
    named = manifest.source.get("sha256") if manifest is not None else None
    if named is not None and named != sha256:
        raise UsageError(
            f"{path} was made from another file than the reference {reference} (SHA-256 "
            f"{str(named)[:12]}… and not {sha256[:12]}…), so it need not answer alike. Give the model it was "
            "made from as --reference, or --force to measure it all the same."
        )


def list_versions() -> dict[str, str]:
    """Returns the versions of Python, this package, and what figures depend on, as far as installed."""
    versions = {"python": platform.python_version(), "vitsd-export": __version__}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
