"""Error messages for paths that should be folders."""

import os
from pathlib import Path

from napari_wildseg.engine.errors import InputError


def folder_error(folder: Path, kind: str = "") -> str:
    """Return why a path is not a folder, as the start of an error message."""
    return file_instead(folder) or f"There is no folder {folder}{kind}"


def file_instead(folder: Path) -> str | None:
    """Return the start of an error message if a file lies where a folder should be, else None."""
    file = file_in_the_way(folder)
    return None if file is None else f"{file} is a file, not a folder"


def file_in_the_way(folder: Path) -> Path | None:
    """Return the file that lies at the path of a folder or of one of its parents, else None."""
    for place in (folder, *folder.parents):
        try:
            if place.is_dir():
                return None
            if place.exists() and not place.is_dir():  # another thread may just have made it
                return place
        except (OSError, ValueError):  # no permission, or not a valid path
            return None
    return None


def check_cache_folder(folder: str | os.PathLike[str]) -> Path:
    """Raise `InputError` if the cache folder's path leads to a file.

    A folder that is full or read-only is accepted: encodings are then kept in memory only.
    """
    found = file_instead(Path(folder).absolute())
    if found:
        raise InputError(f"{found}: choose another place for encodings.")
    return Path(folder)
