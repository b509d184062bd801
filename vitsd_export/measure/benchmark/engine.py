"""The benchmark engine: every candidate's parity, accuracy, memory, latency and share of the roofline."""

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vitsd_export._internal.progress import Progress, no_progress
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.errors import UsageError
from vitsd_export.measure.benchmark.answers import Answered, ask_candidate
from vitsd_export.measure.benchmark.figures import accuracy_figures, parity_figures
from vitsd_export.measure.benchmark.groups import group_by_memory
from vitsd_export.measure.benchmark.memory import available_memory
from vitsd_export.measure.benchmark.ratio import judge_ratio, ratio_of_medians
from vitsd_export.measure.benchmark.results import Candidate, LatencyFigures, Row, Speed, Start
from vitsd_export.measure.benchmark.roofline import with_share, work_of
from vitsd_export.measure.benchmark.rounds import (
    Timed,
    expected_start,
    paired_turns,
    time_side_by_side,
)
from vitsd_export.measure.benchmark.settings import Settings
from vitsd_export.measure.benchmark.size import measure_size
from vitsd_export.measure.benchmark.worker_process import RuntimeMissing, WorkerFailed

# Share of the free memory that processes side by side may take.
_SHARE_OF_MEMORY = 0.6
# Bytes that a candidate is assumed to need before it was measured.
_GUESSED_BYTES = 1 << 30
# Images a second, for the progress bar before anything is known.
_EXPECTED_SPEED = 300.0


@dataclasses.dataclass(frozen=True)
class Conditions:
    """The conditions of all measurements of a run.

    Attributes:
        images: [N, size, size, 3], of the size that the model takes. With labels of `class_names`,
            accuracy is measured.
        class_names: The model's, in the order of its outputs.
        reference: [N, classes] float32, the reference model's probabilities of `images`.
        settings: Options.
        speed: Rates of the machine on one thread, for the roofline; None leaves it out.

    Raises:
        UsageError: If the arrays do not fit together.
    """

    images: ImageDataset
    class_names: Sequence[str]
    reference: np.ndarray
    settings: Settings
    speed: Speed | None = None

    def __post_init__(self) -> None:
        shape = (len(self.images), len(self.class_names))
        if not len(self.images) or self.reference.shape != shape:
            raise UsageError(
                f"There are {shape[0]} images and {shape[1]} classes, but the reference's answers are of "
                f"shape {list(self.reference.shape)}."
            )


def run_engine(
    candidates: Sequence[Candidate],
    conditions: Conditions,
    *,
    done: Mapping[str, Row] | None = None,
    on_row: Callable[[Row], None] = lambda row: None,
    progress: Progress = no_progress,
) -> tuple[Row, ...]:
    """Measures candidates, each in processes of its own, and their times side by side.

    Nothing that a candidate does to its process stops the others: a crash, an error, or a step beyond the
    time limit makes a row with `failure`; a runtime that is not installed one with `skipped`.

    Args:
        candidates: What to measure; the names are unique, and a `baseline` is one of them.
        conditions: The same for all.
        done: Rows of an earlier run by the candidate's name. What they hold is not measured again.
        on_row: Called with a candidate's row whenever it has grown: after parity and accuracy, and after
            the times at each number of threads. The last call carries the final row.
        progress: Its figures are expected seconds.

    Returns:
        The rows in the order of the candidates.

    Raises:
        UsageError: If the candidates do not fit together.
        KeyboardInterrupt: After every process has been ended; what `on_row` got is kept.
    """
    names = [candidate.name for candidate in candidates]
    for candidate in candidates:
        if names.count(candidate.name) > 1:
            raise UsageError(
                f"Several candidates have the name {candidate.name!r}. Give each its own."
            )
        if candidate.baseline is not None and candidate.baseline not in names:
            raise UsageError(
                f"{candidate.name!r} is to be compared with {candidate.baseline!r}, which is not in the run."
            )
    run = _Run(candidates, conditions, done or {}, on_row, progress)
    run.answer_all()
    for threads in conditions.settings.threads:
        run.time_all(threads)
    return tuple(run.rows.values())


class _Run:
    """The state of a run: the rows so far, and how far it is."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        conditions: Conditions,
        done: Mapping[str, Row],
        on_row: Callable[[Row], None],
        progress: Progress,
    ) -> None:
        self.rows: dict[str, Row] = {}
        for candidate in candidates:
            old = done.get(candidate.name)
            kept = old is not None and old.candidate == candidate and old.state == "measured"
            self.rows[candidate.name] = old if kept and old is not None else Row(candidate)
        self._conditions, self._settings = conditions, conditions.settings
        self._on_row, self._progress = on_row, progress
        self._resident: dict[str, int] = {}
        self._behind = 0.0
        self._ahead = self._expected_seconds()

    def _expected_seconds(self) -> float:
        settings = self._settings
        total = 0.0
        for row in self._open_rows():
            if row.parity is None:
                total += self._expected_answering(row)
            for threads in settings.threads:
                if not self._is_timed(row, threads):
                    total += settings.launches * expected_start(row.candidate.runtime)
                    total += len(settings.batches) * settings.seconds
        return total

    def _expected_answering(self, row: Row) -> float:
        images = self._conditions.images
        return expected_start(row.candidate.runtime) + len(images) / _EXPECTED_SPEED

    def _tell(self, message: str, seconds: float = 0.0) -> None:
        self._behind += seconds
        self._progress(message, min(self._behind, self._ahead), self._ahead)

    def _keep(self, row: Row) -> None:
        self.rows[row.candidate.name] = row
        self._on_row(row)

    def _open_rows(self) -> list[Row]:
        return [row for row in self.rows.values() if row.state == "measured"]

    def answer_all(self) -> None:
        """Takes parity, accuracy, size and what ran, of every candidate that lacks them."""
        for row in self._open_rows():
            if row.parity is None:
                name = row.candidate.name
                self._tell(f"{name}: answering {len(self._conditions.images)} images")
                self._keep(self._answered(row))
                self._tell(name, self._expected_answering(row))

    def _answered(self, row: Row) -> Row:
        candidate = row.candidate
        if candidate.path is None:
            return dataclasses.replace(row, failure="it has no file")
        path = Path(candidate.path)
        if not path.exists():
            return dataclasses.replace(row, failure=f"{path} does not exist")
        try:
            row = dataclasses.replace(row, size=measure_size(path))
            answered = ask_candidate(
                candidate,
                self._conditions.images,
                len(self._conditions.class_names),
                self._settings,
                lambda count: self._tell(f"{candidate.name}: {count} images"),
            )
        except RuntimeMissing as error:
            return dataclasses.replace(row, skipped=str(error))
        except (WorkerFailed, OSError) as error:
            return dataclasses.replace(row, failure=str(error))
        self._resident[candidate.name] = answered.resident
        return self._with_answers(row, answered)

    def _with_answers(self, row: Row, answered: Answered) -> Row:
        given = self._conditions
        accuracy = work = None
        if given.images.labels_for(given.class_names) is not None:
            accuracy = accuracy_figures(answered.probabilities, given.images)
        if answered.products is not None:
            work = work_of(answered.products, answered.constants, given.speed)
        return dataclasses.replace(
            row,
            versions=answered.versions,
            parity=parity_figures(
                given.reference,
                answered.probabilities,
                given.images,
                given.class_names,
                self._settings.worst,
            ),
            accuracy=accuracy,
            delegation=answered.delegation,
            work=work,
        )

    def _is_timed(self, row: Row, threads: int) -> bool:
        have = {figures.batch for figures in row.latencies if figures.threads == threads}
        return have >= set(self._settings.batches)

    def time_all(self, threads: int) -> None:
        """Times every candidate that has not been timed at a number of threads, beside its baseline."""
        open_rows = self._open_rows()
        lacking = {row.candidate.name for row in open_rows if not self._is_timed(row, threads)}
        # A baseline that has been timed runs along once more: times are compared with those beside them.
        baselines = {self.rows[name].candidate.baseline for name in lacking}
        wanted = [
            row.candidate for row in open_rows if row.candidate.name in {*lacking, *baselines}
        ]
        memory = int(available_memory() * _SHARE_OF_MEMORY)
        needs = {
            candidate.name: self._resident.get(candidate.name, _GUESSED_BYTES)
            for candidate in wanted
        }
        # What has failed takes no more time.
        self._ahead = self._behind + self._expected_seconds()
        pixels = self._conditions.images.images
        images = np.resize(pixels, (max(self._settings.batches), *pixels.shape[1:]))
        for group in group_by_memory(wanted, needs, memory):
            everyone = time_side_by_side(group, threads, images, self._settings, self._tell)
            by_name = {timed.candidate.name: timed for timed in everyone}
            for timed in everyone:
                if timed.candidate.name in lacking:
                    self._keep(self._timed(timed, by_name, threads))

    def _timed(self, timed: Timed, by_name: Mapping[str, Timed], threads: int) -> Row:
        row = self.rows[timed.candidate.name]
        if timed.missing is not None:
            return dataclasses.replace(row, skipped=timed.missing)
        if timed.failure is not None:
            return dataclasses.replace(row, failure=timed.failure)
        baseline = by_name.get(timed.candidate.baseline or "")
        latencies = [entry for entry in row.latencies if entry.threads != threads]
        latencies += [
            summarize(timed, baseline, batch, threads, self._settings)
            for batch in self._settings.batches
        ]
        latencies.sort(key=lambda entry: (entry.threads, entry.batch))
        row = dataclasses.replace(row, latencies=tuple(latencies))
        if threads == self._settings.threads[0]:
            row = dataclasses.replace(row, start=_median_start(timed.starts))
        if row.work is None:
            return row
        alone = (entry.p50 for entry in latencies if (entry.batch, entry.threads) == (1, 1))
        return dataclasses.replace(row, work=with_share(row.work, next(alone, None)))


def summarize(
    timed: Timed, baseline: Timed | None, batch: int, threads: int, settings: Settings
) -> LatencyFigures:
    """Returns the latency of a candidate at a batch size, beside that of its baseline if that has times."""
    samples = np.concatenate([turns.ravel() for turns in timed.turns[batch]])
    p50, p90, p99 = (float(value) for value in np.percentile(samples, (50, 90, 99)))
    ratio = None
    if baseline is not None and baseline.failure is None and batch in baseline.turns:
        ratio = ratio_of_medians(
            *paired_turns(timed, baseline, batch), resamples=settings.resamples, seed=settings.seed
        )
    return LatencyFigures(
        batch=batch,
        threads=threads,
        calls=len(samples),
        p50=p50,
        p90=p90,
        p99=p99,
        throughput=1e3 * batch / p50,
        samples=tuple(float(f"{value:.5g}") for value in samples),
        ratio=ratio,
        verdict=None if ratio is None else judge_ratio(ratio),
        inferences=timed.inferences[batch],
        launches=len(timed.turns[batch]),
        steady=timed.steady[batch],
    )


def _median_start(starts: Sequence[Start]) -> Start:
    def median(name: str) -> float:
        return float(statistics.median(getattr(start, name) for start in starts))

    return Start(
        load=median("load"),
        first=median("first"),
        rss_before=int(median("rss_before")),
        rss_load=int(median("rss_load")),
        rss_inference=int(median("rss_inference")),
        launches=len(starts),
    )
