"""Names that files give to other files: none of them leads out of its folder."""

from __future__ import annotations

from pathlib import PurePosixPath

_FORBIDDEN = frozenset('/\\\n\r\0:*?"<>|')


def usable_name(name: str) -> bool:
    """Whether a name can be that of a file in a folder, on every system.

    Examples
    --------
    >>> usable_name("a cat"), usable_name("../cat"), usable_name("/cat"), usable_name("..")
    (True, False, False, False)
    """
    if not isinstance(name, str) or name in ("", ".", "..") or not _FORBIDDEN.isdisjoint(name):
        return False
    try:
        return len(name.encode("utf-8")) <= 255
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return False


def stays_inside(file: str) -> bool:
    """Whether a path from one file to another stays in the folder.

    Examples
    --------
    >>> stays_inside("train/cat.png"), stays_inside("train/../../cat.png"), stays_inside("/cat.png")
    (True, False, False)
    """
    parts = PurePosixPath(file).parts
    return bool(parts) and all(usable_name(part) for part in parts)
