"""Corrections saved in the background, and found again after a crash.

One small file holds the corrections of one plane of one image. It is rewritten after each stroke
and removed when the labels are exported, or when the annotator discards it.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import secrets
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QStandardPaths

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.gui.display import Plane, level_array

if TYPE_CHECKING:
    from napari.layers import Image

_log = logging.getLogger(__name__)

VERSION = 1
KEEP_DAYS = 30
"""Files untouched for longer are removed."""


@dataclass(frozen=True, eq=False)
class Saved:
    """Corrections found on disk, or taken from a label layer that was deleted (no path)."""

    plane: Plane
    corrections: NDArray[np.int16]
    classes: tuple[ClassInfo, ...]
    saved_at: float
    path: Path | None


def default_folder() -> Path:
    """Return where corrections are kept: in the user's folder for application data."""
    place = QStandardPaths.StandardLocation.GenericDataLocation
    return Path(QStandardPaths.writableLocation(place)) / "napari-wildseg" / "recovery"


def image_key(image: Image) -> str:
    """Return what tells an image apart from others, the same in the next session.

    Parameters
    ----------
    image : napari.layers.Image
        The image. Of arrays in memory a few thousand pixels count; lazy ones are not read.
    """
    array = level_array(image)
    digest = hashlib.sha256()
    about = (image.name, str(image.source.path or ""), tuple(array.shape), str(array.dtype))
    digest.update(repr(about).encode())
    if isinstance(array, np.ndarray):
        step = max(1, math.ceil((array.size / 8192) ** (1 / max(1, array.ndim))))
        digest.update(
            np.ascontiguousarray(array[(slice(None, None, step),) * array.ndim]).tobytes()
        )
    return digest.hexdigest()[:24]


class RecoveryStore:
    """Files of corrections in a folder.

    Parameters
    ----------
    folder : Path, optional
        Where; default: `default_folder`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else folder
        # A session writes files of its own: what an earlier one left stays until it is dealt with.
        self._session = secrets.token_hex(4)
        self._latest: dict[Path, Callable[[], bytes | None]] = {}
        self._lock = threading.Lock()
        self._writer: ThreadPoolExecutor | None = None
        self._last: Future[None] | None = None
        self._told = False

    def save(
        self,
        key: str,
        plane: Plane,
        corrections: Callable[[], NDArray[np.int16] | None],
        classes: Sequence[ClassInfo],
    ) -> None:
        """Write the corrections of a plane, in the background; of several, the latest counts.

        Parameters
        ----------
        key : str
            From `image_key`.
        plane : Plane
            Which plane.
        corrections : callable
            Returns ``(H, W)`` int16, -1 where there are none, or None, which removes the file.
            Called on the writing thread.
        classes : sequence of ClassInfo
            What the labels mean.
        """
        self._put(self._path(key, plane), lambda: _encode(plane, corrections(), classes))

    def forget(self, key: str, plane: Plane) -> None:
        """Remove this session's file for a plane: the corrections are safe elsewhere."""
        self._put(self._path(key, plane), _nothing)

    def discard(self, found: Iterable[Saved]) -> None:
        """Remove files of earlier sessions."""
        for saved in found:
            if saved.path is not None:
                self._put(saved.path, _nothing)

    def find(self, key: str, shape: tuple[int, ...]) -> list[Saved]:
        """Return what earlier sessions left, oldest first; damaged files are passed over.

        Parameters
        ----------
        key : str
            From `image_key`.
        shape : tuple of int
            Shape of the label layer they must fit.
        """
        found = []
        for path in self.folder.glob(f"{key}-*.npz"):
            if path.stem.endswith(self._session):
                continue
            try:
                found.append(_decode(path, shape))
            except (OSError, InputError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                _log.warning("The recovery file %s is damaged and is not used", path)
        return sorted(found, key=lambda saved: saved.saved_at)

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until everything is on disk."""
        if self._last is not None:
            self._last.result(timeout)

    def prune(self) -> None:
        """Remove files that nobody came back for."""
        limit = time.time() - KEEP_DAYS * 86_400
        for path in self.folder.glob("*.npz"):
            try:
                if path.stat().st_mtime < limit:
                    path.unlink()
            except OSError:
                _log.debug("%s could not be removed", path, exc_info=True)

    def _path(self, key: str, plane: Plane) -> Path:
        fixed = "_".join("x" if i is None else str(i) for i in plane.index)
        return self.folder / f"{key}-{fixed}-{self._session}.npz"

    def _put(self, path: Path, data: Callable[[], bytes | None]) -> None:
        with self._lock:
            waits = path in self._latest
            self._latest[path] = data
        if waits:
            return
        try:
            if self._writer is None:
                self._writer = ThreadPoolExecutor(1, thread_name_prefix="wildseg-recovery")
            self._last = self._writer.submit(self._write, path)
        except RuntimeError:
            # The interpreter is ending and takes no more work: do it now.
            self._write(path)

    def _write(self, path: Path) -> None:
        from napari_wildseg.io.atomic import atomic_write

        with self._lock:
            make = self._latest.pop(path)
        try:
            data = make()
            if data is None:
                path.unlink(missing_ok=True)
            else:
                atomic_write(path, data, overwrite=True)
        except (OSError, WildsegError) as error:
            if not self._told:
                self._told = True
                _log.warning("Corrections cannot be kept safe: %s", error)


def _encode(
    plane: Plane, corrections: NDArray[np.int16] | None, classes: Sequence[ClassInfo]
) -> bytes | None:
    if corrections is None:
        return None
    from napari_wildseg.io.label_image import classes_to_json

    where = np.flatnonzero(corrections >= 0)
    about = {
        "version": VERSION,
        "plane": list(plane.index),
        "shape": list(corrections.shape),
        "classes": classes_to_json(classes),
    }
    buffer = io.BytesIO()
    np.savez(
        buffer,
        about=np.frombuffer(json.dumps(about).encode(), np.uint8),
        where=where.astype(np.int64),
        labels=corrections.ravel()[where].astype(np.uint8),
    )
    return buffer.getvalue()


def _decode(path: Path, shape: tuple[int, ...]) -> Saved:
    from napari_wildseg.io.label_image import classes_from_json

    # numpy leaves a file that it opened itself open when the file turns out to be broken.
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        about: Any = json.loads(file["about"].tobytes())
        where, labels = file["where"], file["labels"]
    plane = Plane(tuple(None if i is None else int(i) for i in about["plane"]))
    inside = [n for n, i in zip(shape, plane.index, strict=True) if i is None]
    if about["version"] != VERSION or list(about["shape"]) != inside:
        raise ValueError("corrections of another version or size")
    corrections = np.full(inside[0] * inside[1], -1, np.int16)
    corrections[where] = labels
    return Saved(
        plane,
        corrections.reshape(inside),
        classes_from_json(about["classes"], "The recovery file"),
        path.stat().st_mtime,
        path,
    )


def _nothing() -> None:
    """Return nothing to keep."""
