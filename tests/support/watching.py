"""What a loader does to the machine while a test looks on."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

# https://docs.python.org/3/library/audit_events.html
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.chmod"}
_NEVER = {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect"}
_NEVER |= {"pickle.find_class", "ctypes.dlopen", "webbrowser.open"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class TookTooLong(BaseException):
    """A loader did not come to an end."""


class _Watch:
    """The one hook of the process, which cannot be taken out again.

    Attributes:
        allowed: Folder in which files may be written; None while nobody watches.
        seen: What was done elsewhere.
    """

    def __init__(self) -> None:
        self.allowed: str | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str) and flags is not None and flags & _WRITING:
                self._touch(event, path)
        elif event in _CHANGES:
            if event in ("os.remove", "os.rmdir") and arguments[1] != -1:
                # `shutil.rmtree` goes by an open folder; what it removes has been made here.
                return
            self._touch(event, str(arguments[0]))
        elif event in _NEVER:
            self.seen.append(f"{event} {arguments!r}"[:200])

    def _touch(self, event: str, path: str) -> None:
        if path != os.devnull and not os.path.abspath(path).startswith(str(self.allowed)):
            self.seen.append(f"{event} {path}")


_WATCH = _Watch()


@contextlib.contextmanager
def watched(folder: Path, seconds: float = 60.0) -> Iterator[None]:
    """Fails if the block writes outside a folder, starts a program, unpickles, or does not end.

    Args:
        folder: Where files may be written.
        seconds: How long the block may take.
    """

    def stop(_: int, __: FrameType | None) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    _WATCH.seen.clear()
    _WATCH.allowed = str(folder)
    try:
        yield
    finally:
        _WATCH.allowed = None
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not _WATCH.seen, _WATCH.seen
