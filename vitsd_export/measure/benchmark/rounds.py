"""Timing candidates side by side: launches of processes, and in each of them rounds with a turn for all."""

import contextlib
import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from vitsd_export.measure.benchmark.results import Candidate, Start
from vitsd_export.measure.benchmark.settings import Settings
from vitsd_export.measure.benchmark.settling import settle
from vitsd_export.measure.benchmark.worker_process import (
    RuntimeMissing,
    WorkerFailed,
    WorkerProcess,
)

_MILLISECONDS = 1e3
# Above this a call brings its data back into the caches many times over: none has to go before it.
_SLOW_MILLISECONDS = 100.0
# What a turn costs beside its calls, about.
_SECONDS_BETWEEN_TURNS = 0.005


@dataclasses.dataclass
class Timed:
    """A candidate's times at one number of threads.

    Attributes:
        candidate: It.
        starts: One for each launch that came up.
        turns: By batch and launch [rounds, calls], milliseconds; rounds without a turn are left out.
        rounds: By batch, the rounds in which it has a turn, the same in every launch.
        steady: By batch, whether warm-up found steady times in every launch.
        inferences: By batch, inferences of the runtime in a call.
        failure: Why it failed; its times are not used then.
        missing: Why it was not tried.
    """

    candidate: Candidate
    starts: list[Start] = dataclasses.field(default_factory=list)
    turns: dict[int, list[np.ndarray]] = dataclasses.field(default_factory=dict)
    rounds: dict[int, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    steady: dict[int, bool] = dataclasses.field(default_factory=dict)
    inferences: dict[int, int] = dataclasses.field(default_factory=dict)
    failure: str | None = None
    missing: str | None = None


@dataclasses.dataclass
class _Racer:
    timed: Timed
    process: WorkerProcess
    start: Start
    lead: int = 1
    samples: dict[int, list[float]] = dataclasses.field(default_factory=dict)


def time_side_by_side(
    candidates: Sequence[Candidate],
    threads: int,
    images: np.ndarray,
    settings: Settings,
    progress: Callable[[str, float], None],
) -> list[Timed]:
    """Times candidates at one number of threads and every batch size; returns the times in their order.

    Args:
        candidates: Those whose times are compared.
        threads: Threads of the runtimes; the processes are bound to as many cores.
        images: [largest batch, size, size, 3] uint8.
        settings: Options.
        progress: Called with what is going on and the expected seconds that it took.
    """
    everyone = [Timed(candidate) for candidate in candidates]
    draws = random.Random(settings.seed)
    for _ in range(settings.launches):
        with contextlib.ExitStack() as stack:
            racers = []
            for timed in everyone:
                if timed.failure or timed.missing:
                    continue
                progress(
                    f"{timed.candidate.name}: starting on {threads} threads",
                    expected_start(timed.candidate.runtime),
                )
                with _recorded(timed):
                    racers.append(_launch(timed, threads, images, settings, stack))
            for batch in settings.batches:
                racers = _race(racers, batch, settings, draws, progress)
                if batch == settings.batches[0]:
                    racers = list(_remember(racers))
    return everyone


def expected_start(runtime: str) -> float:
    """Returns the expected seconds of a start, for the progress bar."""
    return 8.0 if runtime.startswith(("keras", "saved_model")) else 2.0


@contextlib.contextmanager
def _recorded(timed: Timed) -> Iterator[None]:
    try:
        yield
    except WorkerFailed as error:
        timed.failure = str(error)
    except RuntimeMissing as error:
        timed.missing = str(error)


def _launch(
    timed: Timed,
    threads: int,
    images: np.ndarray,
    settings: Settings,
    stack: contextlib.ExitStack,
) -> _Racer:
    process = stack.enter_context(WorkerProcess(settings.timeout))
    process.prepare(timed.candidate.runtime, threads)
    load, _ = process.ask(
        "loading", "load", path=timed.candidate.path, batch_size=max(settings.batches)
    )
    process.ask("taking the images", "keep", images)
    first, _ = process.ask("running the first inference", "first")
    for batch in settings.batches:
        timed.inferences[batch] = -(-batch // (load["fixed_batch"] or batch))
    # Its memory after the inferences is not known yet.
    start = Start(load["load"], first["first"], load["rss_before"], load["rss_load"], 0)
    return _Racer(timed, process, start)


def _remember(racers: Sequence[_Racer]) -> Iterator[_Racer]:
    """Keeps the figures of the start, after the inferences at the smallest batch."""
    for racer in racers:
        with _recorded(racer.timed):
            memory, _ = racer.process.ask("reporting its memory", "memory")
            start = dataclasses.replace(racer.start, rss_inference=int(memory["rss"]))
            racer.timed.starts.append(start)
            yield racer


def _race(
    racers: Sequence[_Racer],
    batch: int,
    settings: Settings,
    draws: random.Random,
    progress: Callable[[str, float], None],
) -> list[_Racer]:
    """Warms all up and runs the rounds of a launch; returns those that are still there."""
    seconds = settings.seconds / settings.launches
    ready = []
    for racer in racers:
        progress(f"{racer.timed.candidate.name}: warming up at batch {batch}", 0.3 * seconds)
        with _recorded(racer.timed):
            _warm(racer, batch, settings, seconds)
            ready.append(racer)
    for index in range(settings.rounds):
        for racer in _order(ready, index, draws):
            if index not in racer.timed.rounds[batch] or racer.timed.failure:
                continue
            with _recorded(racer.timed):
                answer, _ = racer.process.ask(
                    f"being timed at batch {batch}",
                    "turn",
                    batch=batch,
                    lead=racer.lead,
                    calls=settings.calls,
                )
                racer.samples.setdefault(batch, []).append(answer["milliseconds"])
            settle(racer.process.pid)
        progress(
            f"batch {batch}: round {index + 1} of {settings.rounds}",
            0.7 * seconds * len(ready) / settings.rounds,
        )
    left = [racer for racer in ready if not racer.timed.failure]
    for racer in left:
        racer.timed.turns.setdefault(batch, []).append(np.array(racer.samples[batch]))
    return left


def _warm(racer: _Racer, batch: int, settings: Settings, seconds: float) -> None:
    timed = racer.timed
    answer, _ = racer.process.ask(
        f"warming up at batch {batch}",
        "warm",
        batch=batch,
        change=settings.warmup_change,
        group=settings.warmup_group,
        limit=settings.warmup_seconds * _MILLISECONDS,
    )
    timed.steady[batch] = timed.steady.get(batch, True) and bool(answer["steady"])
    racer.lead = 0 if answer["median"] > _SLOW_MILLISECONDS else 1
    # By the first launch for all of them, so that their shares are equal.
    if batch not in timed.rounds:
        turn = (
            answer["median"] / _MILLISECONDS * (settings.calls + racer.lead)
            + _SECONDS_BETWEEN_TURNS
        )
        count = min(settings.rounds, max(settings.few, int(seconds / turn)))
        timed.rounds[batch] = spread(count, settings.rounds)


def spread(count: int, rounds: int) -> tuple[int, ...]:
    """Returns `count` of the rounds 0 … rounds - 1, spread evenly; all if there are fewer.

    The rounds of a smaller count are among those of a larger one, so that a slow candidate has all its
    turns beside its fast baseline. (The order is that of van der Corput's sequence: bits reversed.)
    """
    bits = max(1, (rounds - 1).bit_length())
    order = sorted(range(rounds), key=lambda index: f"{index:0{bits}b}"[::-1])
    return tuple(sorted(order[:count]))


def _order(racers: Sequence[_Racer], index: int, draws: random.Random) -> list[_Racer]:
    """Returns the order of a round: each begins with another, the others in any order.

    What one leaves behind (hot cores, lower frequency, spinning threads) must not always meet the same.
    """
    if not racers:
        return []
    first = racers[index % len(racers)]
    others = [racer for racer in racers if racer is not first]
    draws.shuffle(others)
    return [first, *others]


def paired_turns(
    timed: Timed, baseline: Timed, batch: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the turns of two candidates in the rounds that both had, for `ratio_of_medians`."""
    common = sorted(set(timed.rounds[batch]) & set(baseline.rounds[batch]))
    sides: list[list[np.ndarray]] = []
    for side in (timed, baseline):
        places = [side.rounds[batch].index(number) for number in common]
        sides.append([turns[places] for turns in side.turns[batch]])
    count = min(len(sides[0]), len(sides[1]))
    return sides[0][:count], sides[1][:count]
