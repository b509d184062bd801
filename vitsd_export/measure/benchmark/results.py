"""What a benchmark run finds out, as data: the schema of `results.json`.

`write_results` and `read_results` are the only ways in and out of the file; `json_schema` is its description.
Times are in milliseconds, sizes in bytes, shares between 0 and 1, unless a name says otherwise. A figure that
could not be taken is None, and the row's `failure` or `skipped` says why.
"""

from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic.dataclasses import dataclass

from vitsd_export._internal.atomic_write import write_file
from vitsd_export.errors import InputError
from vitsd_export.runtimes.delegation import Delegation as Delegation

# Format of a candidate that is the Keras model itself.
KERAS = "keras"
# Raised when a field changes its meaning or goes; new optional fields leave it.
SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Candidate:
    """An artifact in a runtime: what a row of the results is about.

    Attributes:
        name: Unique in a run, readable: `onnx int8`, `stock tf.lite float32`, `keras (jax)`.
        runtime: Key of the runner: `onnxruntime`, `litert`, `litert-no-xnnpack`, `saved_model`,
            `keras-tensorflow`, `keras-jax`, or that of a runner found by its entry point.
        format: `onnx`, `tflite`, `saved_model`, `keras`, `torch`.
        scheme: Numeric scheme, such as `int8`; None if unknown.
        origin: `ours`, or `stock` for what another tool made.
        path: The file or folder; None for a model that has none.
        baseline: Name of the candidate that its times are divided by; None for a baseline itself.
        tool: What made it, such as `tf2onnx 1.17.0`.
    """

    name: str
    runtime: str
    format: str
    scheme: str | None = None
    origin: Literal["ours", "stock"] = "ours"
    path: str | None = None
    baseline: str | None = None
    tool: str | None = None

    @property
    def is_keras(self) -> bool:
        """Whether it is the Keras model itself, and not an artifact."""
        return self.format == KERAS


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassAccuracy:
    """Top-1 accuracy on the images of one class (Wilson interval)."""

    label: str
    images: int
    top1: Interval


@dataclass(frozen=True)
class AccuracyFigures:
    """Accuracy on labelled images, with Wilson intervals.

    Attributes:
        images: Number of images.
        top1: Share classified rightly.
        top5: Share with the label among the five most probable classes; None below five classes.
        classes: Every class, in the order of the model's outputs.
    """

    images: int
    top1: Interval
    top5: Interval | None
    classes: tuple[ClassAccuracy, ...]


@dataclass(frozen=True)
class WorstImage:
    """An image on which an artifact is far from the reference.

    Attributes:
        index: Its place in the data.
        max_abs_difference: Largest difference of two probabilities.
        kl: Kullback–Leibler divergence of the artifact's answer from the reference's, in nats.
        label: Its class; None without labels.
        reference_label: What the reference names first, with `reference_probability`.
        answer_label: What the artifact names first, with `answer_probability`.
        thumbnail: PNG of the image, in base64.
    """

    index: int
    max_abs_difference: float
    kl: float | None
    label: str | None
    reference_label: str
    reference_probability: float
    answer_label: str
    answer_probability: float
    thumbnail: str


@dataclass(frozen=True)
class ParityFigures:
    """How far the answers are from those of the reference.

    Attributes:
        images: Number of images.
        max_abs_difference: Largest difference of two probabilities; None if any is not finite.
        mean_abs_difference: Mean difference; None if any is not finite.
        top1_agreement: Share of images on which both name the same class first.
        top5_agreement: Mean share of the five most probable classes that both name; None below five.
        kl: Mean Kullback–Leibler divergence from the reference's answers, in nats; None if any is not finite.
        worst: The images with the largest difference, the worst first.
    """

    images: int
    max_abs_difference: float | None
    mean_abs_difference: float | None
    top1_agreement: float
    top5_agreement: float | None
    kl: float | None
    worst: tuple[WorstImage, ...] = ()


@dataclass(frozen=True)
class Size:
    """Bytes on disk (all files of a folder), and after gzip, level 9, as a download would have them."""

    bytes: int
    compressed: int


@dataclass(frozen=True)
class Start:
    """Coming up in a new process, and its memory.

    Attributes:
        load: Milliseconds from the runtime imported to the artifact ready; median of the launches. The
            file is in the system's cache.
        first: Milliseconds of the first inference, one image; median of the launches.
        rss_before: Resident bytes of the process with the runtime imported, before the artifact.
        rss_load: Peak resident bytes until the artifact was ready.
        rss_inference: Peak resident bytes until the end of the inferences at the smallest batch.
        launches: Processes that the medians are taken of.
    """

    load: float
    first: float
    rss_before: int
    rss_load: int
    rss_inference: int
    launches: int = 1


@dataclass(frozen=True)
class LatencyFigures:
    """Time of a call at one batch size and number of threads.

    Attributes:
        batch: Images in a call.
        threads: Threads of the runtime.
        calls: Calls that were timed, after warm-up.
        p50: Median milliseconds.
        p90: 90th percentile.
        p99: 99th percentile.
        throughput: Images a second at the median.
        samples: Milliseconds of every timed call, in the order of the rounds.
        ratio: p50 by that of the baseline in the same run, with its bootstrap interval; None without one.
        verdict: `faster` or `slower` than the baseline, or `same` where the interval holds 1.
        inferences: Inferences of the runtime that such a call takes: more than one where the file fixes a
            smaller batch.
        launches: Processes that the samples come from, in sequence and with equal shares.
        steady: Whether warm-up ended because the times were steady, and not because of its limit.
    """

    batch: int
    threads: int
    calls: int
    p50: float
    p90: float
    p99: float
    throughput: float
    samples: tuple[float, ...]
    ratio: Interval | None = None
    verdict: Literal["faster", "slower", "same"] | None = None
    inferences: int = 1
    launches: int = 1
    steady: bool = True


@dataclass(frozen=True)
class Work:
    """What an artifact has to do for an image, and how long the machine must take for it.

    Attributes:
        multiply_adds: By the numbers computed with (`float32`, `int8`, …); None where a shape is not known.
        bytes: Bytes of the constants read.
        roofline: Milliseconds that this machine must take for a batch of one on one thread at its measured
            rates: the products' and the weights' times, summed part by part of the larger of both.
        share: roofline divided by the measured p50 on one thread.
    """

    multiply_adds: dict[str, int | None]
    bytes: int
    roofline: float | None
    share: float | None


@dataclass(frozen=True)
class Row:
    """All figures of one candidate.

    Attributes:
        candidate: What was measured.
        failure: Why it failed, such as `crashed: SIGSEGV while loading`; None if it did not.
        skipped: Why it was not tried, such as a missing package; None if it was.
        versions: Versions of its runtime.
    """

    candidate: Candidate
    failure: str | None = None
    skipped: str | None = None
    versions: dict[str, str] = pydantic.Field(default_factory=dict)
    size: Size | None = None
    start: Start | None = None
    parity: ParityFigures | None = None
    accuracy: AccuracyFigures | None = None
    latencies: tuple[LatencyFigures, ...] = ()
    delegation: Delegation | None = None
    work: Work | None = None

    @property
    def state(self) -> Literal["measured", "failed", "skipped"]:
        """What became of the candidate; a failure weighs more than what was measured before it."""
        if self.failure is not None:
            return "failed"
        return "measured" if self.skipped is None else "skipped"


@dataclass(frozen=True)
class Machine:
    """Where it ran.

    Attributes:
        processor: Its name.
        features: Instruction sets that matter here, such as `avx512_vnni`.
        cores: Cores this process may use.
        memory: Bytes.
        system: Operating system and kernel.
        speeds: Measured rates, one for each number of threads.
    """

    processor: str
    features: tuple[str, ...]
    cores: int
    memory: int
    system: str
    speeds: tuple["Speed", ...] = ()


@dataclass(frozen=True)
class Speed:
    """Measured rates of the machine: see `vitsd_export.measure.benchmark.machine`.

    Attributes:
        threads: Threads.
        flops: float32 operations a second in a matrix product (a multiply-add is two).
        int8_ops: The same in 8-bit integers; None if not measured.
        bandwidth: Bytes a second read.
    """

    threads: int
    flops: float
    int8_ops: float | None
    bandwidth: float


@dataclass(frozen=True)
class Results:
    """A whole run: the document in `results.json`.

    Attributes:
        command: The command line that made it.
        started: ISO 8601 with the offset.
        finished: The same; None if the run was broken off.
        machine: Where.
        versions: Python's, the package's, and its dependencies'.
        model: Name of the reference model, and its SHA-256.
        data: Source, split and number of the images.
        settings: Options of the run that change figures: rounds, batches, threads, …
        rows: One for each candidate, in the order to show them.
        schema_version: Of this document.
    """

    command: str
    started: str
    finished: str | None
    machine: Machine
    versions: dict[str, str]
    model: dict[str, str]
    data: dict[str, str | int]
    settings: dict[str, Any]
    rows: tuple[Row, ...]
    schema_version: int = SCHEMA_VERSION


_ADAPTER: pydantic.TypeAdapter[Results] = pydantic.TypeAdapter(Results)


def write_results(results: Results, path: Path) -> None:
    """Writes a run as JSON, atomically.

    Raises:
        EnvironmentProblem: If it cannot be written.
    """
    write_file(path, _ADAPTER.dump_json(results, indent=1) + b"\n")


def to_document(results: Results) -> dict[str, Any]:
    """Returns a run as plain values, as they stand in the file."""
    document: dict[str, Any] = _ADAPTER.dump_python(results, mode="json")
    return document


def read_results(path: Path) -> Results:
    """Reads a run.

    Raises:
        InputError: If the file is missing, no JSON, or not of this schema.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        results = _ADAPTER.validate_json(text)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path} is not a benchmark result of this version ({place}: {first['msg']}). Give a "
            "results.json that `vitsd-export benchmark` or `python -m benchmarks` wrote."
        ) from error
    if results.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {results.schema_version}; this version reads {SCHEMA_VERSION}. "
            "Run the benchmark again."
        )
    return results


def json_schema() -> dict[str, Any]:
    """Returns the JSON schema (2020-12) of the document."""
    return _ADAPTER.json_schema(mode="serialization")
