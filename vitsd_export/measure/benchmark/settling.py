"""Waiting until a process that has answered rests.

Threads of a runtime spin for a while after their last work, so as to be quick with the next: those of
onnxruntime for some 30 ms. A user who calls in a loop gains by it, so it is left on; a candidate whose
turn is next must not be measured beside it.
"""

import glob
import time
from pathlib import Path

_WINDOW_SECONDS = 0.003
# Share of a core that a process at rest may use.
_REST = 0.1
_MOST_SECONDS = 0.2
# Where the system does not report the time of threads.
_BLIND_SECONDS = 0.05


def settle(pid: int) -> float:
    """Waits until a process uses next to no time of the processor; returns the seconds."""
    start = time.perf_counter()
    before = _busy_seconds(pid)
    if before is None:
        time.sleep(_BLIND_SECONDS)
        return _BLIND_SECONDS
    while (waited := time.perf_counter() - start) < _MOST_SECONDS:
        window = time.perf_counter()
        time.sleep(_WINDOW_SECONDS)
        now = _busy_seconds(pid)
        if now is None or now - before < _REST * (time.perf_counter() - window):
            break
        before = now
    return waited


def _busy_seconds(pid: int) -> float | None:
    """Returns the processor time of all threads, as Linux's scheduler reports it; None elsewhere."""
    total, found = 0, False
    for file in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        try:
            total += int(Path(file).read_text(encoding="ascii").split()[0])
            found = True
        except (OSError, IndexError, ValueError):
            # The thread has ended since.
            continue
    return total / 1e9 if found else None
