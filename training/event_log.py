"""The log of a run for TensorBoard, written without TensorFlow."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from vitsd_export.errors import EnvironmentProblem

FOLDER = "tensorboard"
_EVENT_FILES = "events.out.tfevents.*"


class EventLog:
    """Writes rows of a log as TensorBoard scalars: a scalar a column, by epoch; a context manager.

    The log is the truth, and the events a copy of it: whoever resumes a run gives the rows it has, and
    they are written anew in place of the events that were there, so that no step comes twice.

    Args:
        folder: The run's folder; the events go into its subfolder `tensorboard`.
        log: Rows of the epochs that are done.

    Raises:
        EnvironmentProblem: If tensorboardX is missing, the folder cannot be written to, or the disk is
            full.
    """

    def __init__(self, folder: Path, log: Iterable[Mapping[str, float]] = ()) -> None:
        try:
            from tensorboardX.event_file_writer import EventsWriter
        except ImportError as error:
            raise EnvironmentProblem(
                f"TensorBoard events need the package tensorboardX, which cannot be imported: {error}. "
                "Install it, or vitsd-export with its extra `train`."
            ) from error
        self._folder = folder / FOLDER
        rows = list(log)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for old in self._folder.glob(_EVENT_FILES):
                old.unlink()
            # The library's SummaryWriter writes from a thread: a full disk would go unseen, and a flush
            # would leave out what still waits in its queue.
            self._writer = EventsWriter(str(self._folder / "events"))
            if rows:
                self._write_restart(rows[0])
            # So the axis of relative time goes on as if nothing had come between.
            clock = time.time() - sum(row.get("seconds", 0.0) for row in rows)
            for row in rows:
                clock += row.get("seconds", 0.0)
                self._write(row, clock)
            self._writer.flush()
        except OSError as error:
            raise self._problem(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._writer.close()
        except OSError as problem:
            raise self._problem(problem) from problem

    def write(self, row: Mapping[str, float]) -> None:
        """Writes one epoch's row, to be seen at once.

        Args:
            row: `epoch` and any other columns.

        Raises:
            EnvironmentProblem: If the disk is full, or the file cannot be written to.
        """
        try:
            self._write(row, time.time())
            self._writer.flush()
        except OSError as error:
            raise self._problem(error) from error

    def _write(self, row: Mapping[str, float], clock: float) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=column, simple_value=float(value))
            for column, value in row.items()
            if column != "epoch"
        ]
        event = Event(wall_time=clock, step=int(row["epoch"]), summary=Summary(value=values))
        self._writer.write_event(event)

    def _write_restart(self, first: Mapping[str, float]) -> None:
        """Has a TensorBoard that is running forget the steps it has read from the old file."""
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        start = SessionLog(status=SessionLog.START)
        step = int(first["epoch"])
        self._writer.write_event(Event(wall_time=time.time(), step=step, session_log=start))

    def _problem(self, error: Any) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"Writing TensorBoard events to {self._folder} failed: {error}. Make room or permit it, and "
            "go on with --resume."
        )
