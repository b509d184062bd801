"""Messages between a benchmark and its worker processes: JSON, and an array if there is one.

A message is two unsigned 32-bit lengths (little-endian), a JSON object and a .npy file of these lengths in
bytes; the second is 0 without an array. Nothing of it is code: a worker may have been taken over by a
damaged file.
"""

import io
import json
import struct
from typing import Any, BinaryIO

import numpy as np

_LENGTHS = struct.Struct("<II")


def write_message(
    stream: BinaryIO, message: dict[str, Any], array: np.ndarray | None = None
) -> None:
    """Writes plain values, and numbers that go with them, to a pipe."""
    text = json.dumps(message).encode()
    data = b""
    if array is not None:
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
        data = buffer.getvalue()
    stream.write(_LENGTHS.pack(len(text), len(data)) + text)
    stream.write(data)
    stream.flush()


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], np.ndarray | None] | None:
    """Reads a message; None at the end of the stream, also in the middle of a message.

    Raises:
        ValueError: If it is not a message.
    """
    head = stream.read(_LENGTHS.size)
    if len(head) < _LENGTHS.size:
        return None
    text_length, data_length = _LENGTHS.unpack(head)
    text, data = stream.read(text_length), stream.read(data_length)
    if (len(text), len(data)) != (text_length, data_length):
        return None
    message = json.loads(text)
    if not isinstance(message, dict):
        raise ValueError("a message is not an object")
    if not data:
        return message, None
    return message, np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
