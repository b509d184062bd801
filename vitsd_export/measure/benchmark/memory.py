"""Memory of this process and of the machine."""

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
# Sets the peak of the resident set back to its present size (proc(5), since Linux 4.0).
_RESET_PEAK = "5"
_CGROUP = Path("/sys/fs/cgroup")


def resident_bytes() -> int:
    """Returns the bytes of this process that are in memory now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def reset_peak() -> None:
    """Lets `peak_bytes` start again from now, where the system can."""
    try:
        _RESET.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        # Other systems, and containers without the right: the peak since the start remains.
        return


def peak_bytes() -> int:
    """Returns the most bytes of this process that were in memory at once."""
    try:
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _peak_of_other_systems()


def _peak_of_other_systems() -> int:
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes everywhere but on macOS.
    return int(peak if sys.platform == "darwin" else peak * 1024)


def available_memory() -> int:
    """Returns the bytes that new processes can have, within the limits of a container."""
    import psutil

    available = int(psutil.virtual_memory().available)
    try:
        limit = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        # No such limit; "max" is not a number.
        return available
    return min(available, max(limit - used, 0))
