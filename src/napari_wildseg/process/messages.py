"""Messages between the window and the engine process, which both run this very package.

A message is a pickled dictionary. The pipes between the two processes are open to nobody else, and
nothing that a file brings goes over them as code. Large arrays are written from their own memory
and read into their own.
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class EngineResult:
    """What a run found: a `Result` without relevance maps, which stay in the process."""

    labels: NDArray[np.uint8]
    pseudo_labels: NDArray[np.uint8]
    notices: Sequence[str]
    seconds: dict[str, float]
    settings: dict[str, Any]
    model: str


@dataclass(frozen=True)
class Suggested:
    """Names that a plane may show, and where."""

    names: list[tuple[str, float]]
    maps: dict[str, NDArray[np.float32]]
    """By name: ``(h, w)`` in [0, 1] on a coarse grid that tiles the plane."""


def send(stream: BinaryIO, message: dict[str, Any]) -> None:
    """Write a message."""
    pickle.dump(message, stream, protocol=5)
    stream.flush()


def receive(stream: BinaryIO) -> dict[str, Any] | None:
    """Read a message; None at the end of the stream, also in the middle of a message."""
    try:
        message: dict[str, Any] = pickle.load(stream)
    except (EOFError, pickle.UnpicklingError):
        return None
    return message
