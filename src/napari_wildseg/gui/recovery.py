"""Records of corrections on disk, kept until the labels are exported or they are discarded.

A record (`recovery_record`) holds the corrections of one plane of one image. The records of an
image that is open in a window belong to a `Claim`: nobody else writes or removes them. A record
that no claim holds is left over, and is offered when its image is opened. It is removed when its
corrections are in another record, or when the annotator discards it.
"""

import logging
import secrets
import threading
import time
import weakref
import zipfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QStandardPaths

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.gui.annotation.image_identity import image_key
from napari_wildseg.gui.layers.display import Plane
from napari_wildseg.gui.recovery_record import Saved, decode, digest, encode
from napari_wildseg.io.safety.locks import try_lock

__all__ = ["Claim", "RecoveryStore", "default_folder", "image_key"]

_log = logging.getLogger(__name__)

Find = Callable[[], NDArray[np.integer] | None]
"""Returns corrections ``(H, W)``, -1 where there are none, or None; on the writing thread."""


def default_folder() -> Path:
    """Return where records are kept: in the user's folder for application data."""
    place = QStandardPaths.StandardLocation.GenericDataLocation
    return Path(QStandardPaths.writableLocation(place)) / "napari-wildseg" / "recovery"


_Order = tuple[Callable[[], bytes | None], list[Callable[[], object]]]
"""What makes the bytes of a record, and what to call when they are written."""


class RecoveryStore:
    """The records in a folder. They are written in the background, in the order asked for."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else folder
        self._waiting: dict[Path, _Order] = {}
        self._failed: dict[Path, _Order] = {}
        self._lock = threading.Lock()
        self._writer: ThreadPoolExecutor | None = None
        self._last: Future[None] | None = None
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why corrections cannot be kept now, as a sentence; empty if they are kept."""
        return self._trouble

    @property
    def idle(self) -> bool:
        """Whether everything that was asked for was tried."""
        return self._last is None or self._last.done()

    def find(
        self, keys: str | Iterable[str], shape: tuple[int, ...], *, source: str = ""
    ) -> list[Saved]:
        """Return the records of an image, oldest first; damaged ones are passed over.

        Records that a window holds are among them, marked as `Saved.in_use`.
        """
        found, held = [], {}
        for key in dict.fromkeys([keys] if isinstance(keys, str) else keys):
            for path in self.folder.glob(f"{key}-*.npz"):
                try:
                    saved, of = decode(path, shape)
                except (OSError, InputError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                    _log.warning("The recovery file %s cannot be used for this image", path)
                    continue
                if source and of and of != source and _is_there(of):
                    continue
                lock = lock_of(path)
                if lock not in held:
                    held[lock] = is_held(lock)
                found.append(replace(saved, in_use=held[lock]))
        return sorted(found, key=lambda saved: saved.saved_at)

    def discard(self, found: Iterable[Saved]) -> None:
        """Remove records, but not those that another window holds."""
        for saved in found:
            if saved.path is not None:
                self.later(partial(self.remove, saved.path))

    def tidy(self) -> None:
        """Remove the lock files of windows that ended without removing them."""
        for path in self.folder.glob("*.lock"):
            if not is_held(path):
                with suppress(OSError):
                    path.unlink()

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until everything was tried."""
        if self._last is not None:
            self._last.result(timeout)

    def retry(self) -> None:
        """Try again what could not be written."""
        with self._lock:
            failed, self._failed = self._failed, {}
        for path, (make, then) in failed.items():
            self.put(path, make, then)

    def put(
        self,
        path: Path,
        make: Callable[[], bytes | None],
        then: Sequence[Callable[[], object]] = (),
    ) -> None:
        """Write a record in the background; of several requests for a path the latest counts."""
        with self._lock:
            waits = path in self._waiting
            earlier = [self._failed.pop(path, None), self._waiting.get(path)]
            before = [act for order in earlier if order is not None for act in order[1]]
            self._waiting[path] = (make, [*before, *then])
        if not waits:
            self.later(partial(self._write, path))

    def later(self, act: Callable[[], object]) -> None:
        """Call something on the writing thread, after what was asked for before."""
        try:
            if self._writer is None:
                self._writer = ThreadPoolExecutor(1, thread_name_prefix="wildseg-recovery")
            self._last = self._writer.submit(_logged, act)
        except RuntimeError:
            # The interpreter is ending and takes no more work: do it now.
            _logged(act)

    def _write(self, path: Path) -> None:
        from napari_wildseg.io.atomic import atomic_write, cannot_write

        with self._lock:
            make, then = self._waiting.pop(path)
        try:
            data = make()
            if data is None:
                path.unlink(missing_ok=True)
            elif data:
                atomic_write(path, data, overwrite=True)
        except (OSError, WildsegError) as error:
            if isinstance(error, OSError):
                error = cannot_write(path, error)
            with self._lock:
                if path not in self._waiting:
                    self._failed[path] = (make, then)
                else:
                    latest, more = self._waiting[path]
                    self._waiting[path] = (latest, [*then, *more])
                self._trouble = str(error)
            _log.warning("Corrections cannot be kept safe: %s", error)
            return
        for act in then:
            act()
        self._clear_trouble()

    def _clear_trouble(self) -> None:
        """Clear the error once every write succeeded."""
        with self._lock:
            if not self._failed and not self._waiting:
                self._trouble = ""

    def remove(self, path: Path) -> None:
        """Remove a record unless a window holds it; on the writing thread."""
        with self._lock:
            self._failed.pop(path, None)
        self._clear_trouble()
        if not is_held(lock_of(path)):
            path.unlink(missing_ok=True)


_STORES: weakref.WeakValueDictionary[Path, RecoveryStore] = weakref.WeakValueDictionary()


def shared_store() -> RecoveryStore:
    """Return the store of this process, so that writes of all docks keep their order."""
    folder = default_folder()
    store = _STORES.get(folder)
    if store is None:
        store = _STORES[folder] = RecoveryStore(folder)
    return store


class Claim:
    """The records of one image in one window, which no other window writes or removes."""

    def __init__(self, store: RecoveryStore, key: str, source: str = "") -> None:
        self.store, self.key, self.source = store, key, source
        self._token = secrets.token_hex(4)
        self._locks: dict[str, BinaryIO] = {}
        weakref.finalize(self, _close, self._locks)
        self._exports: dict[tuple[Plane, bool], Find] = {}
        # For the writing thread: digests of what is in the annotator's files and in the records.
        self._exported: dict[tuple[Plane, bool], bytes] = {}
        self._written: dict[Path, bytes] = {}
        self._begun: dict[Path, bytes] = {}

    def path(self, plane: Plane, *, objects: bool = False) -> Path:
        """Return the record of a plane, of its labels or of its objects."""
        fixed = "_".join("x" if i is None else str(i) for i in plane.index)
        kind = "-objects" if objects else ""
        return self.store.folder / f"{self.key}-{fixed}{kind}-{self._token}.npz"

    def owns(self, path: Path | None) -> bool:
        """Whether a record is one that this claim writes."""
        return path is not None and path.stem.endswith(self._token)

    def save(
        self,
        plane: Plane,
        find: Find,
        classes: Sequence[ClassInfo],
        *,
        pseudo: bool = False,
        objects: bool = False,
        instead_of: Iterable[Path] = (),
    ) -> None:
        """Write the corrections of a plane; none, or exported ones, need no record."""
        path, classes = self.path(plane, objects=objects), tuple(classes)
        make = partial(self._record, path, self._token, plane, find, classes, pseudo, objects)
        no_more = [partial(self.store.remove, old) for old in instead_of]
        self.store.put(path, make, [partial(self._note_written, path), *no_more])

    def exported(self, plane: Plane, find: Find, *, objects: bool = False) -> None:
        """Note the exported corrections of a plane; the next `save` compares with them."""
        self._exports[plane, objects] = find

    def renew(self, *, keep_objects: bool = True) -> None:
        """Keep the present records and write new ones from now on.

        Records of objects are continued, unless `keep_objects` is False.
        """
        old, self._token = self._token, secrets.token_hex(4)
        if keep_objects:
            self.store.later(partial(self._move_objects, old, self._token))
        self.store.later(partial(self._release, old))

    def rename(self, key: str) -> None:
        """Give the records another key, now that the image is known better."""
        old, self.key = self.key, key
        if old != key:
            self.store.later(partial(self._rename, old, key, self._token))

    def release(self) -> None:
        """Release the records: they count as left over."""
        self.store.later(partial(self._release, self._token))

    # ------------------------------------------------------------------ on the writing thread

    def _record(
        self,
        path: Path,
        token: str,
        plane: Plane,
        find: Find,
        classes: tuple[ClassInfo, ...],
        pseudo: bool,
        objects: bool,
    ) -> bytes | None:
        if (in_file := self._exports.pop((plane, objects), None)) is not None:
            self._exported[plane, objects] = digest(in_file())
        corrections = find()
        pixels = digest(corrections)
        if corrections is None or pixels == self._exported.get((plane, objects)):
            self._begun[path] = b""
            return None
        known = pixels + repr(classes).encode()
        self._begun[path] = known
        self._lock_records(token)
        if self._written.get(path) == known and path.exists():
            return b""
        return encode(plane, corrections, classes, self.source, pseudo, objects)

    def _note_written(self, path: Path) -> None:
        self._written[path] = self._begun[path]

    def _lock_records(self, token: str) -> None:
        if token in self._locks or token != self._token:
            return
        path = self.store.folder / f"{token}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(20):  # another window may be checking the lock
            file = path.open("ab")
            if try_lock(file) and path.exists():
                self._locks[token] = file
                return
            file.close()
            time.sleep(0.01)

    def _move_objects(self, old: str, new: str) -> None:
        for path in self.store.folder.glob(f"{self.key}-*-objects-{old}.npz"):
            self._lock_records(new)
            target = path.with_name(f"{path.name.removesuffix(f'{old}.npz')}{new}.npz")
            path.replace(target)
            self._written[target] = self._written.pop(path, b"")

    def _release(self, token: str) -> None:
        file = self._locks.pop(token, None)
        if file is not None:
            file.close()
            with suppress(OSError):
                (self.store.folder / f"{token}.lock").unlink()

    def _rename(self, old: str, key: str, token: str) -> None:
        for path in self.store.folder.glob(f"{old}-*-{token}.npz"):
            target = path.with_name(key + path.name.removeprefix(old))
            path.replace(target)
            self._written[target] = self._written.pop(path, b"")


def _close(files: dict[str, BinaryIO]) -> None:
    for file in files.values():
        file.close()


def lock_of(path: Path) -> Path:
    """Return the file that is locked while a window holds a record."""
    return path.with_name(path.stem.rpartition("-")[2] + ".lock")


def is_held(lock: Path) -> bool:
    """Whether a window that is still open has locked a file."""
    try:
        with lock.open("r+b") as file:
            return not try_lock(file)
    except OSError:
        return False


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def _logged(act: Callable[[], object]) -> None:
    """Call something on the writing thread, which goes on whatever happens."""
    try:
        act()
    except Exception:
        _log.exception("A record of corrections could not be dealt with")
