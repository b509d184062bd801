"""Accuracy, parity, latency and size of every artifact of a model, side by side."""

import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from vitsd_export.data.sources import load_images
from vitsd_export.errors import InputError
from vitsd_export.export import Export, Target
from vitsd_export.measure.accuracy import top_k_accuracy
from vitsd_export.measure.latency import time_alternating
from vitsd_export.measure.parity import compare
from vitsd_export.runtimes import open_runner
from vitsd_export.verify import Reference

_TARGETS = (
    ("saved_model", "float32"),
    ("onnx", "float32"),
    ("onnx", "float16"),
    ("tflite", "float32"),
    ("tflite", "float16"),
    ("tflite", "dynamic-int8"),
    ("tflite", "int8"),
    ("onnx", "int8"),
)


@dataclasses.dataclass(frozen=True)
class ArtifactFigures:
    """What one artifact measures.

    Attributes:
        name: Format and scheme.
        megabytes: Size, 10⁶ bytes.
        export_seconds: Conversion and verification; TensorFlow already imported.
        images: Number of test images.
        top1: Share classified rightly.
        top5: Share with the label among the five most probable classes.
        agreement: Share on which the artifact and Keras name the same class.
        max_abs_difference: Largest difference of two probabilities.
        p50: Median latency of one image on one thread, milliseconds; None for TensorFlow's runtimes, whose
            threads cannot be set for one model.
    """

    name: str
    megabytes: float
    export_seconds: float
    images: int
    top1: float
    top5: float
    agreement: float
    max_abs_difference: float
    p50: float | None


def measure_artifacts(
    model: str,
    data: str,
    data_dir: Path | None,
    *,
    rounds: int = 300,
    report: Callable[[str], None] = lambda _: None,
) -> list[ArtifactFigures]:
    """Exports a model to every format and scheme and measures each artifact on labelled test images.

    The latencies are taken in turn, one call of each artifact after the other, in one process.

    Args:
        model: Bundled name or .keras file.
        data: Test images: `sample`, `cifar10`, `cifar100` or a folder.
        data_dir: Where CIFAR lies if `data` is its name.
        rounds: Calls of each artifact that are timed.
        report: Called with what is going on.

    Raises:
        InputError: If the images have no labels of the model's classes.
    """
    reference = Reference.load(model)
    images = load_images(data, split="test", size=reference.loaded.image_size, data_dir=data_dir)
    if images.labels is None or len(images.class_names) != reference.loaded.num_classes:
        raise InputError(f"{images.source} has no labels of the classes of {model}.")
    report(f"Keras on {len(images)} images")
    answers = reference.answers(images).probabilities
    figures = [
        ArtifactFigures(
            "Keras",
            reference.loaded.path.stat().st_size / 1e6,
            0.0,
            len(images),
            top_k_accuracy(answers, images.labels),
            top_k_accuracy(answers, images.labels, 5),
            1.0,
            0.0,
            None,
        )
    ]
    export = Export(model, progress=report)
    with tempfile.TemporaryDirectory() as folder:
        calls: dict[str, Callable[[], object]] = {}
        one = images.images[:1]
        for format, scheme in _TARGETS:
            name = f"{format} {scheme}"
            exported = export.run(Target(format, Path(folder) / name, scheme))  # type: ignore[arg-type]
            report(f"{name} on {len(images)} images")
            with open_runner(exported.path, trusted=True) as runner:
                probabilities = runner.probabilities(images.images)
            parity = compare(answers, probabilities, images.labels)
            figures.append(
                ArtifactFigures(
                    name,
                    (exported.manifest.file or {})["bytes"] / 1e6,
                    exported.seconds,
                    len(images),
                    top_k_accuracy(probabilities, images.labels),
                    top_k_accuracy(probabilities, images.labels, 5),
                    parity.top1_agreement,
                    parity.max_abs_difference,
                    None,
                )
            )
            if format != "saved_model":
                timed = open_runner(exported.path, threads=1, trusted=True)
                calls[name] = lambda timed=timed: timed.run(one)  # type: ignore[misc]
        report(f"latency, {rounds} rounds")
        latencies = time_alternating(calls, rounds, warmup=20)
    return [
        dataclasses.replace(entry, p50=latencies[entry.name].p50)
        if entry.name in latencies
        else entry
        for entry in figures
    ]


def to_json(figures: list[ArtifactFigures]) -> str:
    """Returns the figures as a JSON document."""
    return json.dumps([dataclasses.asdict(entry) for entry in figures], indent=2)
