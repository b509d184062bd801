"""Which candidates a run measures, and beside which baseline."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from benchmarks.baselines.catalogue import BASELINES, TORCH_RUNTIME, Baseline, installed_version
from benchmarks.isolated import Made
from benchmarks.suite.variants import QUICK, Variant, all_variants
from vitsd_export.artifact.formats import LITERT, ONNX
from vitsd_export.errors import UsageError
from vitsd_export.measure.benchmark.results import KERAS, Candidate, Row

# Not by the name of its entry point, which a checkout that is not installed does not have.
OPENVINO_RUNTIME = "vitsd_export.runtimes.openvino_runner:OpenVinoRunner"
# The stock file of each runtime that times are divided by. PyTorch itself is set beside the file that
# everyone makes of Keras.
MAIN_BASELINES = {
    "onnxruntime": "tf2onnx float32",
    "litert": "tf.lite float32",
    "saved_model": "keras export saved-model",
    TORCH_RUNTIME: "tf2onnx float32",
}
# Other runtimes of the same files: key, format, and what is added to the names.
_OTHER_RUNTIMES = (
    ("litert-no-xnnpack", LITERT.name, " without XNNPACK"),
    (OPENVINO_RUNTIME, ONNX.name, " in OpenVINO"),
)
_KERAS_BACKENDS = ("tensorflow", "jax")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file in a runtime, before the file is made.

    Attributes:
        file: What makes it; None for the Keras model itself.
        candidate: What is measured, without its path.
    """

    file: Baseline | Variant | None
    candidate: Candidate


def plan(
    length: Literal["quick", "full"],
    *,
    head_rank: int | None = None,
    only: Sequence[str] = (),
) -> tuple[Entry, ...]:
    """Returns what a run measures, in the order to show it.

    Args:
        length: `quick`: the main schemes and the stock file of each runtime; `full`: everything.
        head_rank: In a whole run, a rank to try on the model's wide head.
        only: Parts of names, of which the baselines are measured as well; all candidates when empty.

    Raises:
        UsageError: If no name holds any of `only`.
    """
    is_full = length == "full"
    baselines = [
        baseline for baseline in BASELINES if is_full or baseline.name in MAIN_BASELINES.values()
    ]
    variants = all_variants(head_rank) if is_full else QUICK
    files: tuple[Baseline | Variant, ...] = (*baselines, *variants)
    entries = [_keras(backend) for backend in _KERAS_BACKENDS[: None if is_full else 1]]
    entries += [_entry(file) for file in files]
    for runtime, format, note in _OTHER_RUNTIMES if is_full else ():
        entries += [
            _entry(file, runtime, note)
            for file in files
            if file.format == format and (file in QUICK or file.name in MAIN_BASELINES.values())
        ]
    kept = {
        entry.candidate.name
        for entry in entries
        if not only or any(part.lower() in entry.candidate.name.lower() for part in only)
    }
    if not kept:
        names = ", ".join(entry.candidate.name for entry in entries)
        raise UsageError(f"No candidate is called like {' or '.join(only)}. There are: {names}.")
    # What stands beside its baseline brings it along.
    kept |= {entry.candidate.baseline or "" for entry in entries if entry.candidate.name in kept}
    return tuple(entry for entry in entries if entry.candidate.name in kept)


def make_candidates(
    entries: Sequence[Entry],
    model: Path,
    make_baselines: Callable[[Sequence[Baseline]], dict[str, Made]],
    make_ours: Callable[[Sequence[Variant]], dict[str, Made]],
) -> tuple[tuple[Candidate, ...], dict[str, Row]]:
    """Makes the files of a plan, with the functions that make files of other tools and of ours.

    Returns:
        All candidates, and the rows of those that there is no file of.
    """
    files = dict.fromkeys(entry.file for entry in entries)
    made = make_baselines([file for file in files if isinstance(file, Baseline)])
    made |= make_ours([file for file in files if isinstance(file, Variant)])
    results = [Made(model) if entry.file is None else made[entry.file.name] for entry in entries]
    # A baseline that was not made can be no measure.
    usable = {
        entry.candidate.name
        for entry, result in zip(entries, results, strict=True)
        if result.path is not None
    }
    candidates, lost = [], {}
    for entry, result in zip(entries, results, strict=True):
        candidate = dataclasses.replace(
            entry.candidate,
            path=None if result.path is None else str(result.path),
            baseline=entry.candidate.baseline if entry.candidate.baseline in usable else None,
        )
        candidates.append(candidate)
        if result.path is None:
            lost[candidate.name] = Row(candidate, failure=result.failure, skipped=result.skipped)
    return tuple(candidates), lost


def _keras(backend: str) -> Entry:
    candidate = Candidate(
        name=f"keras ({backend})",
        runtime=f"keras-{backend}",
        format=KERAS,
        scheme="float32",
        origin="stock",
        tool=f"keras {installed_version('keras')}",
    )
    return Entry(None, candidate)


def _entry(file: Baseline | Variant, runtime: str | None = None, note: str = "") -> Entry:
    baseline = MAIN_BASELINES.get(file.runtime)
    candidate = Candidate(
        name=f"{file.name}{note}",
        runtime=runtime or file.runtime,
        format=file.format,
        scheme=file.scheme,
        origin="stock" if isinstance(file, Baseline) else "ours",
        baseline=None if baseline in (None, file.name) else f"{baseline}{note}",
        tool=file.made_by,
    )
    return Entry(file, candidate)
