"""Keeps the memory that one image frees for the next.

The networks ask for the same few megabytes again and again. Dask starts its workers with
``MALLOC_TRIM_THRESHOLD_`` set, so that they give memory back to the system soon; a side effect in
glibc is that every array of more than 128 kB is then mapped anew, and its pages are filled with
zeros by the system, at each use. That halved the speed of a worker (the time went to page faults).
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""

_MAPPED_FROM = 32 * 2**20
"""Arrays of more bytes are mapped anew: the most that glibc allows."""

_KEPT = 64 * 2**20
"""Free bytes from which they are given back, per arena."""


def keep_freed_memory() -> bool:
    """Keep freed memory of up to 64 MB in this process for its next arrays (glibc only)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    kept = mallopt(_M_TRIM_THRESHOLD, _KEPT)
    return bool(mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM) and kept)
