"""Memory for copies of large planes, used again: a quick copy on the GUI thread.

To copy a hundred megabytes takes some 20 ms; to be given new memory for them takes up to half a
second, since the system hands it out page by page. So memory that was given once is kept.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST = 2
"""Copies that are kept memory for: that of a run, and that of the takeover of its result."""

_ROWS = 256
"""Rows that are compared at a time: what is in between stays in the processor's cache."""


class Scratch:
    """Copies arrays into memory of copies that nobody looks at any more."""

    def __init__(self) -> None:
        # The memory, and the array that was last made of it. Whoever holds a view of that array
        # holds the array itself, since the memory does not belong to an array.
        self._kept: list[tuple[bytearray, weakref.ref[NDArray[Any]]]] = []

    def copy(self, data: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of an array, not to be written to.

        Parameters
        ----------
        data : ndarray
            Of any shape and number type.
        """
        free = [kept for kept in self._kept if kept[1]() is None]
        fits = [memory for memory, _ in free if len(memory) == data.nbytes]
        memory = fits[0] if fits else bytearray(data.nbytes)
        whole = np.frombuffer(memory, data.dtype)
        out = whole.reshape(data.shape)
        np.copyto(out, data)
        out.flags.writeable = False
        others = [kept for kept in self._kept if kept[0] is not memory]
        self._kept = [*others, (memory, weakref.ref(whole))][-_MOST:]
        return out


def same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two arrays ``(H, W)`` of one shape hold the same; without memory for the answers.

    Parameters
    ----------
    one, other : ndarray
        The arrays.
    """
    if one.shape != other.shape:
        return False
    if one.strides == other.strides and _start(one) == _start(other) and one.dtype == other.dtype:
        return True  # the very same memory
    return all(
        np.array_equal(one[top : top + _ROWS], other[top : top + _ROWS])
        for top in range(0, len(one), _ROWS)
    )


def _start(array: NDArray[Any]) -> int:
    start: int = array.__array_interface__["data"][0]
    return start
