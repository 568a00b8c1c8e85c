"""Atomic writes: files are written under a temporary name and then renamed.

One rename replaces one file. Several files, or a folder, need several renames: these are first
written to a plan file. Once the plan is on disk, the new version is the valid one: `current_path`
returns where its parts are, and the next writer, or `remove_leftovers`, completes the renames. A
process that is killed before the plan is written leaves the old version unchanged.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.folders import file_instead

_T = TypeVar("_T")

_TEMPORARY = re.compile(r"\.wildseg-[0-9a-f]{12}(\..*)?")
_PLAN = "napari-wildseg plan of renames"
_MAX_PLAN = 100_000


class _Move(NamedTuple):
    """One rename of a plan; ``before`` is the signature of the target when the plan was made."""

    source: Path
    target: Path
    before: str | None

    @property
    def stale(self) -> bool:
        """Whether the target has changed since the plan was made."""
        return _signature(self.target) not in (None, self.before)


@contextmanager
def atomic_path(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it is renamed to ``path`` on success."""
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
        with suppress(OSError):  # already removed
            temporary.unlink()


def atomic_write(path: str | Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write bytes to a file atomically; see `atomic_path`."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


@contextmanager
def atomic_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; it is renamed to ``path`` on success."""
    path = Path(path)
    there, folder = _exists(path)
    if there and not folder:
        raise InputError(f"{path} is a file: choose another name.")
    temporary = path.with_name(f".wildseg-{secrets.token_hex(6)}{path.suffix}")
    try:
        _execute_plan(plan_path(path))
        there, _ = _exists(path)
        if there and not overwrite:
            raise InputError(
                f"{path} is already there: choose another place, or allow it to be overwritten."
            )
        temporary.mkdir(parents=True)
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                sync(file)
        _rename_all(plan_path(path), [temporary], [path])
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if current_path(path) == path:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_files(
    paths: Sequence[Path], *, overwrite: bool = False, plan: Path | None = None
) -> Iterator[list[Path]]:
    """Yield temporary paths for several files; on success all of them are renamed together."""
    plan = plan or plan_path(paths[0])
    temporaries = [p.with_name(f".wildseg-{secrets.token_hex(6)}{p.suffix}") for p in paths]
    try:
        _execute_plan(plan)
        refuse_existing(list(paths), overwrite=overwrite)
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield temporaries
        for temporary in temporaries:
            sync(temporary)
        refuse_existing(list(paths), overwrite=overwrite)
        _rename_all(plan, temporaries, paths)
    except OSError as error:
        raise cannot_write(paths[0], error) from error
    finally:
        for path, temporary in zip(paths, temporaries, strict=True):
            if current_path(path, plan) != temporary:
                with suppress(OSError):  # already removed
                    temporary.unlink()


def plan_path(path: Path) -> Path:
    """Return the path of the plan file for a file and for the files written with it."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()
    return path.with_name(f".wildseg-{digest[:12]}.plan")


def current_path(path: Path, plan: Path | None = None) -> Path:
    """Return where the current version of a file or folder is.

    It is still under its temporary name if a process was killed before the rename.
    """
    moves = _read_plan(plan or plan_path(path))
    return next((m.source for m in moves if m.target == path), path)


def read_together(path: Path, second: Path, read: Callable[[Path, Path], _T]) -> _T:
    """Read two files of the same version, also while another process replaces them."""
    plan = plan_path(path)

    def state() -> list[list[int] | None]:
        return [_file_signature(each) for each in (path, second, plan)]

    for _ in range(20):
        before = state()
        try:
            found = read(current_path(path, plan), current_path(second, plan))
        except (InputError, OSError):
            if state() == before:
                raise
        else:
            if state() == before:
                return found
    raise InputError(f"{path} is being written all the time: try again when that has ended.")


def remove_leftovers(folder: Path) -> None:
    """Complete planned renames in a folder and remove temporary files of killed processes."""
    with suppress(OSError):
        for plan in folder.glob(".wildseg-*.plan"):
            _execute_plan(plan)
        for path in folder.glob(".wildseg-*"):
            if _TEMPORARY.fullmatch(path.name) and not _is_only_copy(path):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _is_only_copy(path: Path) -> bool:
    """Whether a folder may be the only copy of a data set, moved by version 0.1 before a crash."""
    token = path.name.split(".")[1]
    others = [other for other in path.parent.glob(f".{token}.*") if other.is_dir()]
    return len(others) > 1 and any(other.suffix == ".old" for other in others)


def _file_signature(path: Path) -> list[int] | None:
    """Return inode, modification time and size of a file; None if it is missing."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return [found.st_ino, found.st_mtime_ns, found.st_size]


def _signature(path: Path) -> str | None:
    """Return a digest of a file's content, or ``"folder"``; None if it is missing."""
    if path.is_dir():
        return "folder"
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _rename_all(plan: Path, sources: Sequence[Path], targets: Sequence[Path]) -> None:
    """Write the plan and carry it out; if the first rename fails, the plan is removed."""
    folder = plan.parent
    moves = [
        [a.relative_to(folder).as_posix(), b.relative_to(folder).as_posix(), _signature(b)]
        for a, b in zip(sources, targets, strict=True)
    ]
    try:
        # A truncated plan is not valid JSON, so `_read_plan` ignores it.
        plan.write_bytes(json.dumps({"format": _PLAN, "moves": moves}).encode("ascii"))
        sync(plan)
        _execute_plan(plan)
    except OSError:
        if all(map(os.path.lexists, sources)):
            plan.unlink(missing_ok=True)
        raise
    if any(map(os.path.lexists, sources)):
        raise InputError(f"{targets[0]} was written by another program meanwhile: try again.")


def _read_plan(plan: Path) -> list[_Move]:
    """Return the renames that are not done yet; paths outside the folder make a plan invalid."""
    try:
        with plan.open("rb") as file:
            content = json.loads(file.read(_MAX_PLAN))
        moves = [
            _Move(_inside(plan.parent, a), _inside(plan.parent, b), before)
            for a, b, before in content["moves"]
        ]
        usable = content["format"] == _PLAN and all(
            _TEMPORARY.fullmatch(move.source.name) for move in moves
        )
    except (OSError, ValueError, KeyError, TypeError):
        return []
    left = [move for move in moves if usable and os.path.lexists(move.source)]
    return [] if any(move.stale for move in left) else left


def _inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or any(part in ("..", "/") or "\\" in part or ":" in part for part in parts):
        raise ValueError(name)
    return folder.joinpath(*parts)


def _execute_plan(plan: Path) -> None:
    """Carry out the renames of a plan file, if it exists."""
    if not plan.is_file():
        return
    moves = _read_plan(plan)
    old = [move.source.with_suffix(".old") for move in moves]
    for move, away in zip(moves, old, strict=True):
        if move.target.is_dir():
            move.target.replace(away)
        with suppress(FileNotFoundError):  # another process has renamed it
            move.source.replace(move.target)
    plan.unlink(missing_ok=True)
    for away in old:
        shutil.rmtree(away, ignore_errors=True)


def refuse_existing(paths: list[Path], *, overwrite: bool) -> None:
    """Raise `InputError` if a path is a folder, cannot be a file name, or exists already.

    Raises `WildsegError` if the folder cannot be read.
    """
    for path in paths:
        if "\0" in str(path):
            raise InputError(f"{str(path)!r} cannot be a file's name.")
        there, folder = _exists(path)
        if folder:
            raise InputError(f"{path} is a folder: choose another name.")
        if there and not overwrite:
            raise InputError(
                f"{path} is already there: choose another place, or allow it to be overwritten."
            )


def sync(path: Path) -> None:
    """Flush a file to disk, so that a renamed file is not empty after a power failure."""
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exists(path: Path) -> tuple[bool, bool]:
    """Return whether a path exists, and whether it is a folder."""
    try:
        return path.exists(), path.is_dir()
    except OSError as error:  # no permission to read the folder
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> WildsegError:
    """Return the error to raise when a file or folder cannot be written."""
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        found = file_instead(path)
        if found:
            return WildsegError(f"{found}: choose another place.")
    return WildsegError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}.")


def _rename_new(temporary: Path, path: Path) -> None:
    """Rename without replacing a file that another process has created."""
    try:
        os.link(temporary, path)  # unlike rename, fails if the file exists
    except FileExistsError:
        raise InputError(f"{path} is already there: choose another place.") from None
    except OSError:  # a file system without hard links
        refuse_existing([path], overwrite=False)
        temporary.replace(path)
