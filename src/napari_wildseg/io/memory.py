"""Files of class memories: features and colours of patches, shares of labels, and a description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES, MAX_NAME
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.memory import ClassMemory, ImageRecord, Source
from napari_wildseg.io.archive import ArraySpec, read_archive, write_archive

SUFFIX = ".wildmemory"
FORMAT = "napari-wildseg class memory"
VERSION = 1

_ARRAYS = {
    "looks": ("f", np.float16),
    "colours": ("f", np.float16),
    "said": ("f", np.float16),
    "shares": ("f", np.float16),
    "weights": ("f", np.float32),
}
"""Arrays of a record, each ``(n, ...)``; in the file those of all records follow each other."""

_BY_CLASS = ("said", "shares")
"""Arrays whose width depends on a record's classes; padded with zeros in the file."""


def save_memory(path: str | Path, memory: ClassMemory, *, overwrite: bool = False) -> Path:
    """Write a memory; see `napari_wildseg.ClassMemory.save`."""
    records = memory.records
    arrays: dict[str, NDArray[Any]] = {}
    widest = max((len(r.classes) + 1 for r in records), default=1)
    for name in _ARRAYS if records else ():
        parts = [np.atleast_2d(getattr(r, name).T).T for r in records]
        if name in _BY_CLASS:
            parts = [np.pad(p, ((0, 0), (0, widest - p.shape[1]))) for p in parts]
        arrays[name] = np.concatenate(parts)
    source = memory.source
    about = {
        "format": FORMAT,
        "version": VERSION,
        "source": None if source is None else vars(source),
        "alike": memory.alike,
        "images": [
            {
                "digest": r.digest,
                "name": r.name,
                "finished": r.finished,
                "classes": list(r.classes),
                "samples": len(r.weights),
            }
            for r in records
        ],
    }
    write_archive(Path(path), arrays, about, overwrite=overwrite)
    return Path(path)


def load_memory(path: str | Path) -> ClassMemory:
    """Read a memory; see `napari_wildseg.ClassMemory.load`."""
    path = Path(path)
    specs = {name: ArraySpec(kind, (2, 2)) for name, (kind, _) in _ARRAYS.items()}
    arrays, about = read_archive(path, specs)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise InputError(f"{path.name} is not a class memory of napari-wildseg.")
    version = about.get("version")
    if type(version) is not int or version != VERSION:
        raise InputError(
            f"{path.name} has memory version {version}; this napari-wildseg reads {VERSION}: "
            "remember the images again."
        )
    try:
        images = about["images"]
        if not images:
            return ClassMemory(alike=about["alike"] is True)
        source = Source(**{key: _text(about["source"][key], 4096) for key in _SOURCE})
        return ClassMemory.of(source, _records(images, arrays), alike=about["alike"] is True)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path.name} is damaged: {error}.") from None


_SOURCE = ("model", "fingerprint", "method", "views")


def _records(images: Any, arrays: dict[str, NDArray[Any]]) -> list[ImageRecord]:
    """Cut the arrays into records; everything is checked."""
    if set(arrays) != set(_ARRAYS):
        raise ValueError("an array is missing")
    for name, (_, dtype) in _ARRAYS.items():
        if arrays[name].dtype != dtype or not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} does not hold what it should")
    total = sum(_count(image["samples"]) for image in images)
    if {len(a) for a in arrays.values()} != {total} or arrays["colours"].shape[1] != 3:
        raise ValueError("the arrays do not fit each other")
    if arrays["weights"].shape[1] != 1 or (arrays["weights"] < 0).any():
        raise ValueError("the weights are none")
    found, start = [], 0
    for image in images:
        stop = start + _count(image["samples"])
        classes = tuple(_text(name, MAX_NAME) for name in image["classes"])
        width = len(classes) + 1
        if not 1 <= len(classes) <= MAX_CLASSES or width > arrays["said"].shape[1]:
            raise ValueError("the classes do not fit the arrays")
        part = {name: array[start:stop] for name, array in arrays.items()}
        part |= {name: part[name][:, :width] for name in _BY_CLASS}
        part["weights"] = part["weights"][:, 0]
        finished = image["finished"] is True
        digest, name = _text(image["digest"], 64), _text(image["name"], 4096, empty=True)
        found.append(ImageRecord(digest, name, finished, classes, **part))
        start = stop
    if len({record.digest for record in found}) < len(found):
        raise ValueError("an image is there twice")
    return found


def _count(value: object) -> int:
    if type(value) is not int or value < 1:
        raise ValueError("a number of samples is none")
    return value


def _text(value: object, longest: int, *, empty: bool = False) -> str:
    if not isinstance(value, str) or len(value) > longest or not (value or empty):
        raise ValueError("a name is not a text, or too long")
    return value
