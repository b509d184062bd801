"""A whole run: files, reference, measurements, results."""

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from benchmarks.peers.making import make_peers
from benchmarks.suite.ours import make_ours
from benchmarks.suite.plan import Entry, make_candidates, plan
from benchmarks.suite.state import State
from vitsd_export._internal.cache import cache_folder
from vitsd_export.measure.benchmark.engine import Progress, run_suite
from vitsd_export.measure.benchmark.results import Candidate, Results, Row
from vitsd_export.measure.benchmark.settings import Settings

STATE_FILE = "state.json"


@dataclasses.dataclass(frozen=True)
class Request:
    """What a run is asked to measure.

    Attributes:
        model: Bundled name, file or folder that needs no other options to be loaded.
        settings: Options of the measurements.
        output: Folder of the state of a run that is broken off; it exists.
        length: `quick` or `full`.
        trained: Whether accuracy says anything; it is not measured of random weights.
        data: Test images: `sample`, `cifar10`, `cifar100` or a folder.
        data_dir: Where CIFAR lies if `data` is its name.
        head_rank: A rank to try on the model's wide head; None for none.
        only: Measures only candidates whose names hold one of these; all when empty.
        fresh: Whether what an earlier run has measured is forgotten.
    """

    model: str
    settings: Settings
    output: Path
    length: Literal["quick", "full"] = "quick"
    trained: bool = True
    data: str = "sample"
    data_dir: Path | None = None
    head_rank: int | None = None
    only: tuple[str, ...] = ()
    fresh: bool = False


def measure(
    request: Request,
    command: str,
    *,
    report: Callable[[str], None],
    progress: Progress,
) -> Results:
    """Measures a model's artifacts beside the peers.

    An interrupt ends it early: the results then hold what was measured and have no end, and the next run
    of the same request goes on from there.

    Args:
        request: What to measure.
        command: The command line, for the record.
        report: Told what is going on.
        progress: Told how far the measurements are.

    Raises:
        InputError: If the model or the images cannot be used.
        UsageError: If options contradict each other, or no candidate is left.
        EnvironmentProblem: If TensorFlow is missing, or a folder cannot be written.
    """
    from vitsd_export.data.labels import default_labels
    from vitsd_export.data.sample import choose_images
    from vitsd_export.data.sources import load_images
    from vitsd_export.measure.benchmark.machine import describe_machine
    from vitsd_export.sources.location import locate, source_name
    from vitsd_export.workflows.benchmark import describe_data, list_versions
    from vitsd_export.workflows.verify import Reference

    entries = plan(request.length, head_rank=request.head_rank, only=request.only)
    source = locate(request.model).path
    report(f"loading {source_name(request.model)}")
    reference = Reference.load(source)
    loaded = reference.loaded
    class_names = loaded.labels or default_labels(loaded.num_classes)
    images = load_images(
        choose_images(request.data, class_names),
        split="test",
        size=loaded.image_size,
        data_dir=request.data_dir,
    )
    if not request.trained:
        images = dataclasses.replace(images, labels=None, class_names=())
    candidates, lost = _candidates(entries, source, loaded.sha256, report)
    report(f"Keras on {len(images)} images")
    answers = reference.answers(images).probabilities
    report("measuring the machine")
    machine = describe_machine(request.settings.threads)
    run = {
        "model": loaded.sha256,
        "images": images.sha256(),
        "settings": request.settings.to_dict(),
        "machine": (machine.processor, machine.cores),
    }
    measured = [each for each in candidates if each.name not in lost]
    state = State(request.output / STATE_FILE, run, measured, _now())
    if request.fresh:
        state.clear()
    if state.rows:
        report(f"going on with the run of {state.started}: {len(state.rows)} rows are there")
    finished: str | None = None
    try:
        run_suite(
            measured,
            reference=answers,
            images=images,
            class_names=class_names,
            settings=request.settings,
            speed=next((speed for speed in machine.speeds if speed.threads == 1), None),
            done=dict(state.rows),
            on_row=state.keep,
            progress=progress,
        )
        finished = _now()
    except KeyboardInterrupt:
        report("broken off")
    rows = {**lost, **state.rows}
    results = Results(
        command=command,
        started=state.started,
        finished=finished,
        machine=machine,
        versions=list_versions(),
        model={"name": loaded.name, "sha256": loaded.sha256},
        data=describe_data(images, class_names),
        settings={**request.settings.to_dict(), "length": request.length},
        rows=tuple(rows[each.name] for each in candidates if each.name in rows),
    )
    if finished is not None:
        state.clear()
    return results


def _candidates(
    entries: Sequence[Entry], source: Path, sha256: str, report: Callable[[str], None]
) -> tuple[tuple[Candidate, ...], dict[str, Row]]:
    folder = cache_folder("benchmarks")
    return make_candidates(
        entries,
        source,
        lambda peers: make_peers(peers, source, sha256, folder, report=report),
        lambda variants: make_ours(variants, source, sha256, folder, report=report),
    )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).astimezone().isoformat(timespec="seconds")
