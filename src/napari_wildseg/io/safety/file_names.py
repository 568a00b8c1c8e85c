"""Checks of file names from untrusted files: none may lead out of its folder."""

from pathlib import PurePosixPath

_FORBIDDEN = frozenset('/\\\n\r\0:*?"<>|')


def usable_name(name: str) -> bool:
    """Whether a name is a valid file name on every operating system.

    Examples
    --------
    >>> usable_name("a cat"), usable_name("../cat"), usable_name("/cat"), usable_name("..")
    (True, False, False, False)
    """
    if not isinstance(name, str) or name in ("", ".", "..") or not _FORBIDDEN.isdisjoint(name):
        return False
    try:
        return len(name.encode("utf-8")) <= 255
    except UnicodeEncodeError:  # not valid UTF-8
        return False


def stays_inside(file: str) -> bool:
    """Whether a relative path stays inside its folder.

    Examples
    --------
    >>> stays_inside("train/cat.png"), stays_inside("train/../../cat.png"), stays_inside("/cat.png")
    (True, False, False)
    """
    parts = PurePosixPath(file).parts
    return bool(parts) and all(usable_name(part) for part in parts)
