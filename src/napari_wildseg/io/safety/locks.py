"""File locks that the operating system releases when their process ends."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.atomic import cannot_write

_LOCK_SECONDS = 30.0
"""Seconds to wait for another process that adds to a data set; an image takes less than one."""


def try_lock(file: BinaryIO) -> bool:
    """Lock an open file until it is closed; return whether it worked.

    Returns True on file systems without locks.
    """
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True


def wait_for_lock(file: BinaryIO, seconds: float) -> bool:
    """Call `try_lock` until it succeeds; return False after a timeout."""
    end = time.monotonic() + seconds
    while not try_lock(file):
        if time.monotonic() >= end:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def locked(path: Path, who: str) -> Iterator[None]:
    """Hold a lock on a file; raise `InputError` if it is not free within 30 s."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise cannot_write(path, error) from error
    with file:
        if not wait_for_lock(file, _LOCK_SECONDS):
            raise InputError(f"{who}: wait for it, and try again.")
        yield
