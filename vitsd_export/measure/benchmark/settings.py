"""What a benchmark run is asked to do."""

import dataclasses
import os
from typing import Any, Self

from vitsd_export.errors import UsageError


def available_cores() -> tuple[int, ...]:
    """Returns the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def default_threads() -> tuple[int, ...]:
    """Returns 1, 2 and the number of this process's cores, each once and none above the last."""
    cores = len(available_cores())
    return tuple(sorted({count for count in (1, 2, cores) if count <= cores}))


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of a benchmark run.

    A launch is a fresh process of a candidate. In a round every candidate of the launch has a turn: one
    call that is not counted, so that the others' data leaves the caches, then some that are.

    Attributes:
        batches: Images in a call, ascending.
        threads: Threads of the runtime, ascending.
        launches: Processes of a candidate, one after the other, at each number of threads. Where its
            memory happens to lie makes some percent of a process's times: several of them show it.
        rounds: Turns of a candidate in a launch at each batch size.
        calls: Counted calls in a turn.
        seconds: Time of a candidate's turns at one batch size and number of threads, all launches
            together. A slow one has fewer turns, and at least `few` in a launch.
        few: See `seconds`.
        warmup_change: Warm-up is over when the medians of two groups of `warmup_group` calls in
            sequence are as close as this share.
        warmup_group: See above.
        warmup_seconds: Warm-up is over after this time in any case.
        timeout: Seconds that any step of a candidate may take: loading, an inference, a turn.
        worst: Images with the largest differences that are kept.
        resamples: Of the bootstrap.
        seed: Of everything drawn.

    Raises:
        UsageError: If a number is out of range.
    """

    batches: tuple[int, ...] = (1, 8, 32)
    threads: tuple[int, ...] = dataclasses.field(default_factory=default_threads)
    launches: int = 3
    rounds: int = 20
    calls: int = 3
    seconds: float = 12.0
    few: int = 5
    warmup_change: float = 0.05
    warmup_group: int = 5
    warmup_seconds: float = 3.0
    timeout: float = 180.0
    worst: int = 4
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batches", "threads"):
            values = getattr(self, name)
            if not values or min(values) < 1:
                raise UsageError(f"{name} must be numbers from 1, not {values}.")
            object.__setattr__(self, name, tuple(sorted(set(values))))
        for name in ("launches", "rounds", "calls", "few", "warmup_group", "resamples"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("seconds", "warmup_change", "warmup_seconds", "timeout"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be above 0, not {getattr(self, name)}.")
        if self.worst < 0:
            raise UsageError(f"worst must be at least 0, not {self.worst}.")
        if max(self.threads) > len(available_cores()):
            raise UsageError(
                f"{max(self.threads)} threads were asked for, but this process may use "
                f"{len(available_cores())} cores. Ask for fewer."
            )

    @classmethod
    def quick(cls, **changes: Any) -> Self:
        """Returns the settings of a short look: one image a call, one thread, two launches."""
        short: dict[str, Any] = {
            "batches": (1,),
            "threads": (1,),
            "launches": 2,
            "rounds": 12,
            "seconds": 2.0,
            "warmup_seconds": 1.0,
        }
        return cls(**{**short, **changes})
