"""Locks on files that end with their process, however it ends."""

from __future__ import annotations

import os
from typing import BinaryIO


def try_lock(file: BinaryIO) -> bool:
    """Lock an open file until it is closed or its process ends.

    Parameters
    ----------
    file : file object
        Open for writing. Two openings of one file exclude each other, in one process too.

    Returns
    -------
    bool
        False if it is locked already. True where the file system has no locks.
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
    except OSError:  # a file system without locks: the annotator has to take care
        return True
    return True
