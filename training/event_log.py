"""The log of a run for TensorBoard, written without TensorFlow."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from training.run_files import writing
from vitsd_export.errors import EnvironmentProblem

FOLDER = "tensorboard"
_EVENT_FILES = "events.out.tfevents.*"


@contextlib.contextmanager
def event_log(
    folder: Path, log: Sequence[Mapping[str, float]]
) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Writes rows of a log as TensorBoard scalars: a scalar a column, by epoch.

    The rows that a resumed run has are written anew in place of the events that were there, so that no
    step comes twice.

    Args:
        folder: The run's folder; the events go into its subfolder `tensorboard`.
        log: Rows of the epochs that are done.

    Yields:
        A function that writes one epoch's row, to be seen at once.

    Raises:
        EnvironmentProblem: If tensorboardX is missing, the folder cannot be written to, or the disk is
            full; also by the function.
    """
    try:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary
    except ImportError as error:
        raise EnvironmentProblem(
            f"TensorBoard events need the package tensorboardX, which cannot be imported: {error}. "
            "Install it, or vitsd-export with its extra `train`."
        ) from error
    target = folder / FOLDER

    def write(rows: Sequence[Mapping[str, float]], clock: float) -> None:
        for row in rows:
            clock += row.get("seconds", 0.0)
            values = [
                Summary.Value(tag=column, simple_value=float(value))
                for column, value in row.items()
                if column != "epoch"
            ]
            step, summary = int(row["epoch"]), Summary(value=values)
            writer.write_event(Event(wall_time=clock, step=step, summary=summary))
        writer.flush()

    def write_row(row: Mapping[str, float]) -> None:
        with writing(target):
            write([row], time.time() - row.get("seconds", 0.0))

    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        for old in target.glob(_EVENT_FILES):
            old.unlink()
        # The library's SummaryWriter writes from a thread: a full disk would go unseen, and a flush
        # would leave out what still waits in its queue.
        writer = EventsWriter(str(target / "events"))
        if log:
            # A TensorBoard that is running forgets the steps it has read from the old file.
            restart = SessionLog(status=SessionLog.START)
            step = int(log[0]["epoch"])
            writer.write_event(Event(wall_time=time.time(), step=step, session_log=restart))
        # So the axis of relative time goes on as if nothing had come between.
        write(log, time.time() - sum(row.get("seconds", 0.0) for row in log))
    try:
        yield write_row
    finally:
        with writing(target):
            writer.close()
