"""Files that are whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.folders import file_instead

_TEMPORARY = re.compile(r"\.wildseg-[0-9a-f]{12}(\..*)?")


@contextmanager
def atomic_path(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path in the same folder, renamed to ``path`` on success.

    Parameters
    ----------
    path : str or Path
        Where the file shall be. Missing folders above it are made.
    overwrite : bool
        Whether an existing file may be replaced.

    Yields
    ------
    Path
        Write here. It keeps the ending of ``path``, since libraries choose formats by it.

    Raises
    ------
    InputError
        If the file exists and may not be replaced, or the name cannot be a file's.
    WildsegError
        If the folder or the file cannot be written (read-only, disk full, ...).
    """
    path = Path(path)
    refuse_existing([path], overwrite=overwrite)
    temporary = path.with_name(f".wildseg-{secrets.token_hex(6)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        if overwrite:
            temporary.replace(path)
        else:
            _rename_new(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):  # gone already, or its folder is
            temporary.unlink()


def atomic_write(path: str | Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write bytes to a file that is whole or not there; see `atomic_path`.

    Parameters
    ----------
    path : str or Path
        Where.
    data : bytes
        What.
    overwrite : bool
        Whether an existing file may be replaced.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


@contextmanager
def atomic_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside ``path``, renamed to it on success.

    Parameters
    ----------
    path : str or Path
        Where the folder shall be.
    overwrite : bool
        Whether an existing folder may be replaced. It is moved away first and removed last, so
        that one of the two is always whole.

    Yields
    ------
    Path
        An empty folder to write into.

    Raises
    ------
    InputError
        If something is there and may not be replaced, or is a file.
    WildsegError
        If it cannot be written.
    """
    path = Path(path)
    there, folder = _look(path)
    if there and not folder:
        raise InputError(f"{path} is a file: choose another name.")
    if there and not overwrite:
        raise InputError(
            f"{path} is already there: choose another place, or allow it to be overwritten."
        )
    token = secrets.token_hex(6)
    temporary = path.with_name(f".wildseg-{token}{path.suffix}")
    old = path.with_name(f".wildseg-{token}.old")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                sync(file)
        if path.exists():
            path.replace(old)
        temporary.replace(path)
    except OSError as error:
        if old.exists() and not path.exists():
            old.replace(path)
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def remove_left_over(folder: Path) -> None:
    """Remove what processes that were killed while writing left half-written in a folder.

    Parameters
    ----------
    folder : Path
        The folder; others in it are not looked into.
    """
    with suppress(OSError):
        for path in folder.glob(".wildseg-*"):
            if _TEMPORARY.fullmatch(path.name):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def refuse_existing(paths: list[Path], *, overwrite: bool) -> None:
    """Raise `InputError` if a path cannot be written to because of what is there.

    Where one cannot even look, `WildsegError`.

    Parameters
    ----------
    paths : list of Path
        Files about to be written.
    overwrite : bool
        Whether existing files may be replaced.
    """
    for path in paths:
        if "\0" in str(path):
            raise InputError(f"{str(path)!r} cannot be a file's name.")
        there, folder = _look(path)
        if folder:
            raise InputError(f"{path} is a folder: choose another name.")
        if there and not overwrite:
            raise InputError(
                f"{path} is already there: choose another place, or allow it to be overwritten."
            )


def sync(path: Path) -> None:
    """Force a file to disk, so that a renamed file is never an empty one after a power cut.

    Parameters
    ----------
    path : Path
        A file.
    """
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _look(path: Path) -> tuple[bool, bool]:
    """Return whether something is there, and whether it is a folder."""
    try:
        return path.exists(), path.is_dir()
    except OSError as error:  # in a folder that may not even be looked into
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> WildsegError:
    """Return the error to raise where a file or folder cannot be written.

    Parameters
    ----------
    path : Path
        What was to be written.
    error : OSError
        What the system says of it.
    """
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        found = file_instead(path)
        if found:
            return WildsegError(f"{found}: choose another place.")
    return WildsegError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}.")


def _rename_new(temporary: Path, path: Path) -> None:
    """Rename, but not over a file that appeared meanwhile."""
    try:
        os.link(temporary, path)  # unlike rename, fails where a file is
    except FileExistsError:
        raise InputError(f"{path} is already there: choose another place.") from None
    except OSError:  # a file system without hard links
        refuse_existing([path], overwrite=False)
        temporary.replace(path)
