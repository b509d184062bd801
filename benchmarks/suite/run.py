"""A whole run: files, reference, measurements, results."""

import dataclasses
from pathlib import Path
from typing import Literal

from benchmarks.baselines.making import make_baselines
from benchmarks.suite.ours import make_ours
from benchmarks.suite.outputs import RESULTS_FILE
from benchmarks.suite.plan import make_candidates, plan
from vitsd_export._internal.cache import cache_folder
from vitsd_export._internal.progress import Progress
from vitsd_export.errors import InputError
from vitsd_export.measure.benchmark.results import Results, read_results, write_results
from vitsd_export.measure.benchmark.settings import Settings
from vitsd_export.workflows.benchmark import measure as run_bench
from vitsd_export.workflows.benchmark import prepare


@dataclasses.dataclass(frozen=True)
class Request:
    """What a run is asked to measure.

    Attributes:
        model: Bundled name, file or folder that needs no other options to be loaded.
        settings: Options of the measurements.
        output: Folder of results.json, from which a run that was broken off goes on; it exists.
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


def measure(request: Request, command: str, progress: Progress) -> Results:
    """Measures a model's artifacts beside the baselines.

    An interrupt ends it early: the results then hold what was measured and have no end, and the next run
    of the same request goes on from there.

    Args:
        request: What to measure.
        command: The command line, for the record.
        progress: Told what is going on, and how far the measurements are.

    Raises:
        InputError: If the model or the images cannot be used.
        UsageError: If options contradict each other, or no candidate is left.
        EnvironmentProblem: If TensorFlow is missing, or a folder cannot be written.
    """
    from vitsd_export.sources.location import locate, source_name
    from vitsd_export.workflows.verify import Reference

    entries = plan(request.length, head_rank=request.head_rank, only=request.only)
    source = locate(request.model).path
    progress(f"loading {source_name(request.model)}")
    reference = Reference.load(source)
    bench = prepare(reference, request.data, request.data_dir, request.settings, command)
    bench = dataclasses.replace(bench, notes={"length": request.length})
    if not request.trained:
        images = dataclasses.replace(bench.images, labels=None, class_names=())
        bench = dataclasses.replace(bench, images=images)
    kept = (source, reference.loaded.sha256, cache_folder("benchmarks"))
    candidates, lost = make_candidates(
        entries,
        source,
        lambda baselines: make_baselines(baselines, *kept, progress=progress),
        lambda variants: make_ours(variants, *kept, progress=progress),
    )
    path = request.output / RESULTS_FILE
    latest: list[Results] = []

    def keep(results: Results) -> None:
        latest[:] = [results]
        write_results(results, path)

    try:
        return run_bench(
            candidates,
            bench,
            lost=lost,
            earlier=None if request.fresh else _broken_off(path),
            on_results=keep,
            progress=progress,
        )
    except KeyboardInterrupt:
        if not latest:
            raise
        progress("broken off")
        return latest[0]


def _broken_off(path: Path) -> Results | None:
    """Returns the results of a run that was interrupted, if there are any that can be used."""
    try:
        results = read_results(path)
    except InputError:
        # None, or those of another version.
        return None
    return results if results.finished is None else None
