"""Runners that threads share."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from vitsd_export.runtimes.base import ImageRunner


class RunnerPool:
    """Lends runners of one artifact to threads.

    Args:
        open_another: Opens a runner of the artifact.
        limit: Runners that are open at once, each lent to one thread at a time; further threads
            wait. None for one runner that all threads may run at the same time.

    Raises:
        InputError: If the first runner cannot be opened.
    """

    def __init__(self, open_another: Callable[[], ImageRunner], limit: int | None) -> None:
        self._open_another = open_another
        self._limit = limit
        self._changed = threading.Condition()
        self.first = open_another()
        self._free = [self.first]
        self._open = 1
        self._lent = 0
        self._closed = False

    @contextlib.contextmanager
    def lend(self) -> Iterator[ImageRunner]:
        """Yields a runner that nobody else runs, or one that bears it.

        Raises:
            ValueError: If the pool is closed.
            InputError: If another runner is needed and cannot be opened.
        """
        runner = self._take()
        try:
            yield runner
        finally:
            with self._changed:
                self._lent -= 1
                if self._limit is not None:
                    self._free.append(runner)
                self._changed.notify_all()

    def close(self) -> None:
        """Waits for the threads that have a runner, then closes all of them; others get none."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._lent == 0)
            while self._free:
                self._free.pop().close()

    def _take(self) -> ImageRunner:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._free or self._may_open())
            if self._closed:
                raise ValueError("The classifier is closed.")
            self._lent += 1
            if self._limit is None:
                return self._free[0]
            if self._free:
                return self._free.pop()
            self._open += 1
        # Outside of the lock: it takes a while, and others may get theirs back in the meantime.
        try:
            return self._open_another()
        except BaseException:
            with self._changed:
                self._lent -= 1
                self._open -= 1
                self._changed.notify_all()
            raise

    def _may_open(self) -> bool:
        return self._limit is not None and self._open < self._limit
