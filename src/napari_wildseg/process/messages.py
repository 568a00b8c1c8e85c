"""Messages between the window and the engine process: a JSON header, then raw buffers.

A message is a dictionary with string keys. Its values are None, bool, int, float, str, bytes,
NumPy arrays of numbers, and lists and dictionaries of these; a tuple arrives as a list. Nothing
that arrives is executed. Arrays are written from their own memory and read into their own memory.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_LEAD = struct.Struct("<4sII")
_MARK = b"WSE1"
_ARRAY, _BYTES = "$array", "$bytes"


class Stream(Protocol):
    """An unbuffered binary file."""

    def write(self, data: Any, /) -> int | None:
        """Write bytes; return how many."""

    def readinto(self, buffer: Any, /) -> int | None:
        """Read bytes into a buffer; return how many, 0 at the end."""


def send(stream: Stream, message: dict[str, Any]) -> None:
    """Write a message."""
    buffers: list[NDArray[np.uint8]] = []
    header = json.dumps(_encoded(message, buffers)).encode()
    sizes = np.array([buffer.size for buffer in buffers], "<u8")
    _write(stream, _LEAD.pack(_MARK, len(header), len(buffers)) + sizes.tobytes() + header)
    for buffer in buffers:
        _write(stream, buffer.data)


def receive(stream: Stream) -> dict[str, Any] | None:
    """Read a message; None at the end of the stream, also in the middle of a message."""
    try:
        mark, length, count = _LEAD.unpack(_read(stream, _LEAD.size).tobytes())
        if mark != _MARK:
            raise ValueError("what was received is no message")
        sizes = np.frombuffer(_read(stream, 8 * count), "<u8").tolist()
        header = _read(stream, length)
        buffers = [_read(stream, size) for size in sizes]
    except EOFError:
        return None
    message: dict[str, Any] = _decoded(json.loads(header.tobytes()), buffers)
    return message


def _encoded(value: Any, buffers: list[NDArray[np.uint8]]) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("an array of objects cannot be sent")
        buffers.append(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
        return {_ARRAY: len(buffers) - 1, "dtype": value.dtype.str, "shape": value.shape}
    if isinstance(value, (bytes, bytearray)):
        buffers.append(np.frombuffer(value, np.uint8))
        return {_BYTES: len(buffers) - 1}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {name: _encoded(each, buffers) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encoded(each, buffers) for each in value]
    return value


def _decoded(value: Any, buffers: list[NDArray[np.uint8]]) -> Any:
    if isinstance(value, list):
        return [_decoded(each, buffers) for each in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        return buffers[value[_ARRAY]].view(np.dtype(value["dtype"])).reshape(value["shape"])
    if _BYTES in value:
        return buffers[value[_BYTES]].tobytes()
    return {name: _decoded(each, buffers) for name, each in value.items()}


def _write(stream: Stream, data: Any) -> None:
    rest = memoryview(data)
    while rest.nbytes:
        rest = rest[stream.write(rest) or 0 :]


def _read(stream: Stream, size: int) -> NDArray[np.uint8]:
    whole = np.empty(size, np.uint8)
    rest = whole.data
    while rest.nbytes:
        count = stream.readinto(rest)
        if not count:
            raise EOFError
        rest = rest[count:]
    return whole
