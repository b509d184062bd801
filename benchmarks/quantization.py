"""Accuracy, size and latency of every numeric scheme, beside the stock files of the same runtime."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from benchmarks.timing import Plan, Runtime, time_in_process

_ROUNDS = 60
_RUNTIMES: dict[str, Runtime] = {"onnx": "onnxruntime", "tflite": "litert"}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A way to export.

    Attributes:
        format: `onnx` or `tflite`.
        scheme: Numeric scheme.
        head_rank: Rank of the head's wide layers; None for the layers as they are.
    """

    format: Literal["onnx", "tflite"]
    scheme: str
    head_rank: int | None = None

    @property
    def name(self) -> str:
        """What tables and files call it."""
        rank = "" if self.head_rank is None else f"-rank{self.head_rank}"
        return f"{self.scheme}{rank}"


@dataclasses.dataclass(frozen=True)
class SchemeFigures:
    """What one scheme measures.

    Attributes:
        format: `onnx` or `tflite`.
        scheme: Numeric scheme, and the head's rank if one was chosen; `stock …` for the other files.
        top1: Share of the test images classified rightly; None where accuracy was not measured.
        drop: Percentage points below Keras.
        agreement: Share of the images on which Keras names the same class.
        trained_bytes: Size of the trained model's file.
        p50: Milliseconds of one image, by number of threads; of the other model.
        ratio: These by those of the stock float32 file of the same runtime.
        bytes: Size of the timed file.
        share: That by the stock float32 file's.
    """

    format: str
    scheme: str
    top1: float | None
    drop: float | None
    agreement: float | None
    trained_bytes: int | None
    p50: dict[int, float]
    ratio: dict[int, float]
    bytes: int
    share: float


def variants(head_rank: int | None) -> list[Variant]:
    """Returns what is measured: all schemes of both formats, and int8 with a head of a rank."""
    from vitsd_export.quantization.schemes import schemes_of

    found = []
    for format in ("tflite", "onnx"):
        found += [Variant(format, scheme) for scheme in schemes_of(format)]  # type: ignore[arg-type]
        if head_rank is not None:
            found.append(Variant(format, "int8", head_rank))  # type: ignore[arg-type]
    return found


def measure_quantization(
    trained: str,
    timed: Path,
    folder: Path,
    *,
    data: str,
    data_dir: Path | None,
    head_rank: int | None,
    threads: tuple[int, ...] = (1, 2),
    report: Callable[[str], None] = lambda _: None,
) -> list[SchemeFigures]:
    """Measures accuracy on a trained model, time and size on another one.

    Args:
        trained: Bundled name or .keras file.
        timed: .keras file; its weights decide neither time nor size.
        folder: Where the artifacts go; those that are there already are used again.
        data: Test images: `sample`, `cifar10`, `cifar100` or a folder.
        data_dir: Where CIFAR lies if `data` is its name.
        head_rank: A rank to try on the timed model's head; None for none.
        threads: Numbers of threads.
        report: Called with what is going on.
    """
    stock = {name: folder / f"stock-{name}" for name in ("trained", "timed")}
    for name, model in (("trained", _path_of(trained)), ("timed", timed)):
        stock[name].mkdir(parents=True, exist_ok=True)
        report(f"stock converters on the {name} model")
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.stock", "--integers"]
        subprocess.run([*command, str(model), str(stock[name])], check=True, capture_output=True)
    files = _export(trained, variants(None), folder / "trained", report)
    slow = _export(str(timed), variants(head_rank), folder / "timed", report)
    accuracy = _accuracies(
        trained,
        {**files, ("tflite", "stock full-int8"): stock["trained"] / "full-int8.tflite"},
        data,
        data_dir,
        report,
    )
    slow[("tflite", "stock full-int8")] = stock["timed"] / "full-int8.tflite"
    figures = []
    for format, runtime in _RUNTIMES.items():
        plain = stock["timed"] / ("full.onnx" if format == "onnx" else "full-b1.tflite")
        mine = {name: path for (kind, name), path in slow.items() if kind == format}
        named = {"stock float32": plain, **mine}
        times: dict[int, dict[str, float]] = {}
        for count in threads:
            report(f"{runtime}, threads {count}")
            plan = Plan(runtime, count, 1, _ROUNDS, {k: str(v) for k, v in named.items()})
            times[count] = time_in_process(plan)
        for name, path in named.items():
            top1, drop, agreement = accuracy.get((format, name), (None, None, None))
            size = path.stat().st_size
            figures.append(
                SchemeFigures(
                    format,
                    name,
                    top1,
                    drop,
                    agreement,
                    _size(files.get((format, name))),
                    {count: ms[name] for count, ms in times.items()},
                    {count: ms[name] / ms["stock float32"] for count, ms in times.items()},
                    size,
                    size / plain.stat().st_size,
                )
            )
    return figures


def _path_of(model: str) -> Path:
    from vitsd_export.pretrained import find_model

    return find_model(model)


def _size(path: Path | None) -> int | None:
    return None if path is None else path.stat().st_size


def _export(
    model: str, wanted: list[Variant], folder: Path, report: Callable[[str], None]
) -> dict[tuple[str, str], Path]:
    """Writes artifacts, unverified: a scheme that misses its gate is to be measured as well."""
    from vitsd_export.export import Export, Target

    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[tuple[str, str], Path] = {
        (each.format, each.name): folder / f"{each.name}.{each.format}" for each in wanted
    }
    if all(path.exists() for path in paths.values()):
        return paths
    export = Export(model, verify=False)
    for each in wanted:
        path = paths[each.format, each.name]
        if not path.exists():
            report(f"{path.name} of {Path(model).name}")
            options = {} if each.head_rank is None else {"head_rank": each.head_rank}
            export.run(Target(each.format, path, each.scheme, **options))  # type: ignore[arg-type]
    return paths


def _accuracies(
    model: str,
    files: dict[tuple[str, str], Path],
    data: str,
    data_dir: Path | None,
    report: Callable[[str], None],
) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Top-1, the points it is below Keras, and the agreement with it, of each file."""
    from vitsd_export.data.sources import load_images
    from vitsd_export.errors import InputError
    from vitsd_export.measure.parity import compare
    from vitsd_export.runtimes import open_runner
    from vitsd_export.verify import Reference

    reference = Reference.load(model)
    size = reference.loaded.image_size
    images = load_images(data, split="test", size=size, data_dir=data_dir)
    if images.labels is None or len(images.class_names) != reference.loaded.num_classes:
        raise InputError(f"{images.source} has no labels of the classes of {model}.")
    report(f"Keras on {len(images)} images")
    answers = reference.answers(images).probabilities
    found = {}
    for key, path in files.items():
        report(f"{' '.join(key)} on {len(images)} images")
        with open_runner(path, trusted=True) as runner:
            parity = compare(answers, runner.probabilities(images.images), images.labels)
        top1, reference_top1 = parity.artifact_top1 or 0.0, parity.reference_top1 or 0.0
        found[key] = (top1, 100 * (reference_top1 - top1), parity.top1_agreement)
    return found


def to_json(figures: list[SchemeFigures]) -> str:
    """Returns the figures as a JSON document."""
    return json.dumps([dataclasses.asdict(entry) for entry in figures], indent=2)
