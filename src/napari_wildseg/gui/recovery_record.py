"""A record of corrections: a small file with those of one plane of one image."""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.gui.layers.display import Plane

_VERSION = 1
_OBJECTS_VERSION = 2
"""Of records with strokes of objects, which 0.1 does not know."""


@dataclass(frozen=True, eq=False)
class Saved:
    """Corrections found in a record, or taken from a label layer that was deleted."""

    plane: Plane  # which plane of the image
    # ``(H, W)`` int16 labels, or int32 strokes of objects; -1 where there are none.
    corrections: NDArray[Any]
    classes: tuple[ClassInfo, ...]  # what the labels mean
    saved_at: float  # seconds since 1970
    path: Path | None  # the record; None where none is kept
    pseudo: bool = False  # they were painted in pseudo-labels; those of the labels win
    in_use: bool = False  # the image is open in a window that holds the record
    objects: bool = False  # they are strokes of objects


def digest(corrections: NDArray[np.integer] | None) -> bytes:
    """Return what tells corrections apart; empty for none."""
    if corrections is None:
        return b""
    where = np.flatnonzero(corrections != -1)
    digest = hashlib.blake2b(where.tobytes(), digest_size=16)
    digest.update(corrections.ravel()[where].tobytes())
    return digest.digest()


def encode(
    plane: Plane,
    corrections: NDArray[np.integer],
    classes: Sequence[ClassInfo],
    source: str,
    pseudo: bool,
    objects: bool,
) -> bytes:
    """Return a record as bytes."""
    from napari_wildseg.io.label_image import classes_to_json

    where = np.flatnonzero(corrections != -1)
    about = {
        "version": _OBJECTS_VERSION if objects else _VERSION,
        "plane": list(plane.index),
        "shape": list(corrections.shape),
        "classes": classes_to_json(classes),
        "source": source,
        "pseudo": pseudo,
    }
    buffer = io.BytesIO()
    np.savez(
        buffer,
        about=np.frombuffer(json.dumps(about).encode(), np.uint8),
        where=where.astype(np.int64),
        labels=corrections.ravel()[where].astype(np.int32 if objects else np.uint8),
    )
    return buffer.getvalue()


def decode(path: Path, shape: tuple[int, ...]) -> tuple[Saved, str]:
    """Read a record of this version or of 0.1; return it and the file of its image."""
    from napari_wildseg.io.label_image import classes_from_json

    # numpy leaves a file that it opened itself open when the file turns out to be broken.
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        about: Any = json.loads(file["about"].tobytes())
        where, labels = file["where"], file["labels"]
    plane = Plane(tuple(None if i is None else int(i) for i in about["plane"]))
    inside = [n for n, i in zip(shape, plane.index, strict=True) if i is None]
    objects = about["version"] == _OBJECTS_VERSION
    if about["version"] not in (_VERSION, _OBJECTS_VERSION) or list(about["shape"]) != inside:
        raise ValueError("corrections of another version or size")
    if not all(i is None or 0 <= i < n for n, i in zip(shape, plane.index, strict=True)):
        raise ValueError("corrections of a plane that is not there")
    corrections: NDArray[Any] = np.full(
        inside[0] * inside[1], -1, np.int32 if objects else np.int16
    )
    corrections[where] = labels
    saved = Saved(
        plane,
        corrections.reshape(inside),
        classes_from_json(about["classes"], "The recovery file"),
        path.stat().st_mtime,
        path,
        pseudo=about.get("pseudo") is True,
        objects=objects,
    )
    return saved, str(about.get("source") or "")
