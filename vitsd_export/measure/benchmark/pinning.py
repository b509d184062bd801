"""Binding a process to cores, so that the scheduler does not move it while it is timed."""

import os
from pathlib import Path

from vitsd_export.measure.benchmark.settings import available_cores

_TOPOLOGY = "/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"


def choose_cores(count: int) -> tuple[int, ...]:
    """Returns `count` cores of this process for as many threads, or all if there are fewer.

    Hyper-threads of one physical core come last: two threads on one core would not be two threads.
    """
    cores = available_cores()
    seen: dict[str, int] = {}
    turns = []
    for core in cores:
        siblings = _siblings(core)
        seen[siblings] = seen.get(siblings, 0) + 1
        turns.append((seen[siblings], core))
    return tuple(core for _, core in sorted(turns))[:count]


def _siblings(core: int) -> str:
    try:
        return Path(_TOPOLOGY.format(core=core)).read_text(encoding="ascii").strip()
    except OSError:
        return str(core)


def pin(cores: tuple[int, ...]) -> None:
    """Binds this process to cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
