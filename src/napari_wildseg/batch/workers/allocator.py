"""Settings of glibc's malloc, so that memory freed by one image is reused for the next.

Dask starts its workers with ``MALLOC_TRIM_THRESHOLD_`` set, so that they return memory to the
system early. As a side effect, glibc maps every array of more than 128 kB anew, and the system
fills its pages with zeros. The page faults halved the speed of a worker.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Constants of glibc's malloc.h."""

_MAPPED_FROM = 32 * 2**20
"""Arrays of more bytes are mapped anew; the largest value that glibc allows."""

_KEPT = 64 * 2**20
"""Free bytes per arena above which memory is returned to the system."""


def keep_freed_memory() -> bool:
    """Keep up to 64 MB of freed memory per arena for reuse; return False without glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    kept = mallopt(_M_TRIM_THRESHOLD, _KEPT)
    return bool(mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM) and kept)
