"""What to say of a folder that is not one."""

from __future__ import annotations

import os
from pathlib import Path

from napari_wildseg.engine.errors import InputError


def no_folder(folder: Path, kind: str = "") -> str:
    """Return why something is no folder, as the beginning of a sentence."""
    return file_instead(folder) or f"There is no folder {folder}{kind}"


def file_instead(folder: Path) -> str | None:
    """Return that there is a file where a folder should be, as the beginning of a sentence."""
    file = file_in_the_way(folder)
    return None if file is None else f"{file} is a file, not a folder"


def file_in_the_way(folder: Path) -> Path | None:
    """Return what there is in place of a folder, or of one it should lie in."""
    for place in (folder, *folder.parents):
        try:
            if place.is_dir():
                return None
            if place.exists():
                return place
        except (OSError, ValueError):  # may not be looked into, or has no possible name
            return None
    return None


def check_cache_folder(folder: str | os.PathLike[str]) -> Path:
    """Refuse a place for encodings that can be no folder.

    One that is full or may not be written to is taken: encodings are then kept in memory alone.
    """
    found = file_instead(Path(folder).absolute())
    if found:
        raise InputError(f"{found}: choose another place for encodings.")
    return Path(folder)
