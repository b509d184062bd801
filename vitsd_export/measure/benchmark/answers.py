"""What a candidate answers, what ran it, and what it multiplies: a process of its own for each candidate."""

import dataclasses
from collections.abc import Callable

import numpy as np

from vitsd_export.artifact.formats import FORMATS
from vitsd_export.artifact.macs import Product
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.measure.benchmark.results import Candidate
from vitsd_export.measure.benchmark.settings import Settings
from vitsd_export.measure.benchmark.worker_process import WorkerFailed, WorkerProcess
from vitsd_export.runtimes.delegation import Delegation

# Images in a request: as few as make progress visible and a time limit meaningful, as many as are quick.
_CHUNK = 256
_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Answered:
    """A candidate's answers and what else its process reported.

    Attributes:
        versions: Of the runtime's packages.
        probabilities: [N, classes] float32.
        delegation: What ran it; None if the runtime does not report it.
        products: What it multiplies; None where that is not known.
        constants: Bytes of its constants.
        resident: Peak bytes of the process.
    """

    versions: dict[str, str]
    probabilities: np.ndarray
    delegation: Delegation | None
    products: tuple[Product, ...] | None
    constants: int
    resident: int


def ask_candidate(
    candidate: Candidate,
    images: ImageDataset,
    classes: int,
    settings: Settings,
    progress: Callable[[int], None],
) -> Answered:
    """Lets a candidate answer all images, on the most threads of the settings.

    Raises:
        WorkerFailed: If it fails in any way.
        RuntimeMissing: If its runtime is not installed.
    """
    with WorkerProcess(settings.timeout) as process:
        versions = process.prepare(candidate.runtime, max(settings.threads))
        loaded, _ = process.ask("loading", "load", path=candidate.path, batch_size=_BATCH)
        size = images.images.shape[1]
        if (loaded["image_size"], loaded["classes"]) != (size, classes):
            raise WorkerFailed(
                f"takes images of {loaded['image_size']} pixels and has {loaded['classes']} classes; the "
                f"reference model takes {size} and has {classes}"
            )
        answers = []
        for start in range(0, len(images), _CHUNK):
            chunk = images.images[start : start + _CHUNK]
            _, answer = process.ask("answering images", "answer", chunk)
            if answer is None:
                raise WorkerFailed("answered images with nothing")
            answers.append(answer)
            progress(start + len(chunk))
        memory, _ = process.ask("reporting its memory", "memory")
        delegation = _delegation(process)
        products, constants = _products(process, candidate)
    probabilities = np.concatenate(answers)
    return Answered(versions, probabilities, delegation, products, constants, int(memory["rss"]))


def _delegation(process: WorkerProcess) -> Delegation | None:
    try:
        reported, _ = process.ask("telling what ran", "delegation")
    except WorkerFailed as error:
        # The artifact works: a runtime that cannot report what ran is not its failure.
        return Delegation("unknown", None, None, None, str(error))
    return None if reported["delegation"] is None else Delegation(**reported["delegation"])


def _products(
    process: WorkerProcess, candidate: Candidate
) -> tuple[tuple[Product, ...] | None, int]:
    form = FORMATS.get(candidate.format)
    # TensorFlow's graphs are not searched for products.
    if form is None or form.needs_tensorflow:
        return None, 0
    try:
        read, _ = process.ask("reading the graph", "products", path=candidate.path)
    except WorkerFailed:
        # Another tool's file may run and still be beyond what is read here.
        return None, 0
    products = tuple(Product("", numbers, count, size) for numbers, count, size in read["products"])
    return products, int(read["constants"])
