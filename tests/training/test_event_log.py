"""Events for TensorBoard, read back as TensorFlow and a plain parser read them."""

import builtins
import itertools
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import run_python
from training.event_log import FOLDER, event_log
from vitsd_export.errors import EnvironmentProblem

ROWS: list[dict[str, float]] = [
    {"epoch": epoch, "loss": 0.5**epoch, "top1": 0.125 * epoch, "seconds": 10.0}
    for epoch in range(1, 5)
]


def crc32c(data: bytes) -> int:
    """CRC-32C bit by bit, RFC 3720 appendix B.4."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    """The checksum of a TFRecord (tensorflow/core/lib/hash/crc32c.h)."""
    checksum = crc32c(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        assert struct.unpack("<I", data[8:12])[0] == masked(data[:8])
        yield data[12 : 12 + length]
        assert struct.unpack("<I", data[12 + length : 16 + length])[0] == masked(
            data[12 : 12 + length]
        )
        data = data[16 + length :]


def events(folder: Path) -> list[Any]:
    """What TensorBoard reads, parsed by TensorFlow's own messages."""
    from tensorflow.core.util.event_pb2 import Event

    files = sorted((folder / FOLDER).iterdir())
    return [Event.FromString(data) for path in files for data in records(path)]


def scalars(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """The step and the values of each event that has some."""
    return [
        (event.step, {value.tag: value.simple_value for value in event.summary.value})
        for event in events(folder)
        if event.summary.value
    ]


def expected(rows: list[dict[str, float]]) -> list[tuple[int, dict[str, float]]]:
    return [
        (int(row["epoch"]), {name: row[name] for name in row if name != "epoch"}) for row in rows
    ]


def test_every_column_is_a_scalar_by_epoch(tmp_path: Path) -> None:
    with event_log(tmp_path, []) as log:
        for row in ROWS:
            log(row)
    # All values are exact in float32.
    assert scalars(tmp_path) == expected(ROWS)
    assert events(tmp_path)[0].file_version == "brain.Event:2"


def test_an_epoch_can_be_read_before_the_run_ends(tmp_path: Path) -> None:
    with event_log(tmp_path, []) as log:
        assert scalars(tmp_path) == []
        for number, row in enumerate(ROWS, 1):
            log(row)
            assert scalars(tmp_path) == expected(ROWS[:number])


def test_resumed_runs_repeat_no_step(tmp_path: Path) -> None:
    with event_log(tmp_path, []) as log:
        for row in ROWS[:3]:
            log(row)
    # Within one second both would have the same name.
    (file,) = (tmp_path / FOLDER).iterdir()
    file.rename(file.with_name("events.out.tfevents.1234567890.host"))
    # The third epoch was lost with its checkpoint.
    changed = {**ROWS[2], "loss": 0.25}
    with event_log(tmp_path, ROWS[:2]) as log:
        assert scalars(tmp_path) == expected(ROWS[:2])
        log(changed)
        log(ROWS[3])
    assert scalars(tmp_path) == expected([*ROWS[:2], changed, ROWS[3]])
    assert len(list((tmp_path / FOLDER).iterdir())) == 1


def test_a_running_tensorboard_is_told_to_forget(tmp_path: Path) -> None:
    from tensorflow.core.util.event_pb2 import SessionLog

    with event_log(tmp_path, []):
        pass
    assert not [event for event in events(tmp_path) if event.HasField("session_log")]
    with event_log(tmp_path, ROWS[:2]):
        pass
    (restart,) = (event for event in events(tmp_path) if event.HasField("session_log"))
    assert (restart.step, restart.session_log.status) == (1, SessionLog.START)


def test_time_goes_on_after_a_break(tmp_path: Path) -> None:
    with event_log(tmp_path, ROWS[:3]) as log:
        log(ROWS[3])
    times = [event.wall_time for event in events(tmp_path) if event.summary.value]
    assert [later - earlier for earlier, later in itertools.pairwise(times[:3])] == [10.0, 10.0]
    assert 0 <= times[3] - times[2] < 60


def test_a_new_run_forgets_the_old_one(tmp_path: Path) -> None:
    with event_log(tmp_path, []) as log:
        log(ROWS[3])
    other = tmp_path / FOLDER / "notes.txt"
    other.write_text("mine")
    with event_log(tmp_path, []) as log:
        log(ROWS[0])
    assert other.read_text() == "mine"
    other.unlink()
    assert scalars(tmp_path) == expected(ROWS[:1])


def test_numbers_that_are_none_are_written(tmp_path: Path) -> None:
    with event_log(tmp_path, []) as log:
        log({"epoch": 1, "loss": float("nan")})
    ((step, values),) = scalars(tmp_path)
    assert step == 1
    assert values["loss"] != values["loss"]


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with event_log(tmp_path, []) as log:

        def fail(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(EnvironmentProblem, match="No space left"):
            log(ROWS[0])
        monkeypatch.undo()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file")
    with pytest.raises(EnvironmentProblem, match=r"Writing to .*tensorboard failed"):
        event_log(tmp_path, []).__enter__()


def test_a_missing_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("tensorboardX"):
            raise ImportError("No module named 'tensorboardX'")
        return genuine(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EnvironmentProblem, match="extra `train`"):
        event_log(tmp_path, []).__enter__()


def test_no_tensorflow_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from training.event_log import event_log\n"
        "with event_log(Path(sys.argv[1]), []) as log:\n"
        "    log({'epoch': 1, 'loss': 0.5})\n"
        "print([name for name in ('tensorflow', 'keras', 'jax') if name in sys.modules])\n"
    )
    assert run_python(code, tmp_path).strip() == "[]"
    assert scalars(tmp_path) == [(1, {"loss": 0.5})]
