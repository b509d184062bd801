"""Tests of the messages between a benchmark and its workers."""

import io
import struct

import numpy as np
import pytest

from vitsd_export.measure.benchmark.messages import read_message, write_message


@pytest.mark.parametrize(
    "array",
    [None, np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.zeros((0, 3), np.float32)],
    ids=["none", "some", "empty"],
)
def test_what_was_written_is_read(array: np.ndarray | None) -> None:
    stream = io.BytesIO()
    write_message(stream, {"do": "turn", "batch": 8, "text": "größer"}, array)
    write_message(stream, {"next": 1.5})
    stream.seek(0)
    received = read_message(stream)
    assert received is not None
    assert received[0] == {"do": "turn", "batch": 8, "text": "größer"}
    if array is None:
        assert received[1] is None
    else:
        np.testing.assert_array_equal(received[1], array, strict=True)
    assert read_message(stream) == ({"next": 1.5}, None)
    assert read_message(stream) is None


def test_a_message_that_breaks_off_is_the_end() -> None:
    stream = io.BytesIO()
    write_message(stream, {"a": 1}, np.ones(5))
    whole = stream.getvalue()
    for length in range(len(whole)):
        assert read_message(io.BytesIO(whole[:length])) is None


def test_objects_that_would_be_code_are_not_read() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([print], dtype=object), allow_pickle=True)
    data = buffer.getvalue()
    with pytest.raises(ValueError, match="allow_pickle"):
        read_message(io.BytesIO(struct.pack("<II", 2, len(data)) + b"{}" + data))


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="object"):
        read_message(io.BytesIO(struct.pack("<II", 2, 0) + b"[]"))
