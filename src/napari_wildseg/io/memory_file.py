"""Reading and writing of class memories as NPZ files with a JSON description."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES, MAX_NAME, check_characters
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.memory import ClassMemory, ImageRecord, Source
from napari_wildseg.engine.memory.filters import FILTERS
from napari_wildseg.engine.memory.records import ARRAYS
from napari_wildseg.io.safety.archive import ArraySpec, read_npz, write_npz

_FORMAT = "napari-wildseg class memory"
_VERSION = 2

_OF_PIXELS = ("filters", "pixel_pieces", "pixel_labels", "pixel_weights")
"""Arrays of a record with one row per sampled pixel; the others have one per superpixel."""

_COLUMNS = ("weights", "pixel_pieces", "pixel_labels", "pixel_weights")
"""One-dimensional arrays; a single column in the file."""

_BY_CLASS = ("prior", "shares")
"""Arrays with one column per class and background; padded with zeros in the file."""


def save_memory(path: str | Path, memory: ClassMemory, *, overwrite: bool = False) -> Path:
    """Write a class memory; see `napari_wildseg.ClassMemory.save`."""
    records = memory.records
    arrays: dict[str, NDArray[Any]] = {}
    widest = max((len(r.classes) + 1 for r in records), default=1)
    for name in ARRAYS if records else ():
        parts = [np.atleast_2d(getattr(r, name).T).T for r in records]
        if name in _BY_CLASS:
            parts = [np.pad(p, ((0, 0), (0, widest - p.shape[1]))) for p in parts]
        arrays[name] = np.concatenate(parts)
    source = memory.source
    about = {
        "format": _FORMAT,
        "version": _VERSION,
        "source": None if source is None else vars(source),
        "alike": memory.alike,
        "images": [
            {
                "digest": r.digest,
                "name": r.name,
                "finished": r.finished,
                "classes": list(r.classes),
                "pieces": len(r.weights),
                "pixels": len(r.pixel_weights),
            }
            for r in records
        ],
    }
    write_npz(Path(path), arrays, about, overwrite=overwrite)
    return Path(path)


def load_memory(path: str | Path) -> ClassMemory:
    """Read a class memory; see `napari_wildseg.ClassMemory.load`."""
    path = Path(path)
    specs = {name: ArraySpec(np.dtype(kind).kind, (2, 2)) for name, kind in ARRAYS.items()}
    arrays, about = read_npz(path, specs)
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise InputError(f"{path.name} is not a class memory of napari-wildseg.")
    version = about.get("version")
    if type(version) is not int or version != _VERSION:
        raise InputError(
            f"{path.name} has memory version {version}; this napari-wildseg reads {_VERSION}: "
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
    """Split the arrays into records; every value is checked."""
    if set(arrays) != set(ARRAYS):
        raise ValueError("an array is missing")
    for name, dtype in ARRAYS.items():
        if arrays[name].dtype != dtype or not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} does not hold what it should")
    columns = {name: array.shape[1] for name, array in arrays.items()}
    expected = columns | dict.fromkeys(_COLUMNS, 1) | {"colours": 3, "filters": FILTERS}
    if columns != expected or columns["prior"] != columns["shares"]:
        raise ValueError("an array is not as wide as it should be")
    cut = dict.fromkeys(ARRAYS, 0)
    found = []
    for image in images:
        counts = {"pieces": _count(image["pieces"]), "pixels": _count(image["pixels"])}
        classes = tuple(_text(name, MAX_NAME) for name in image["classes"])
        for each in classes:
            check_characters(each, "The class memory")
        width = len(classes) + 1
        if not 1 <= len(classes) <= MAX_CLASSES or width > columns["prior"]:
            raise ValueError("the classes do not fit the arrays")
        part = {}
        for name, array in arrays.items():
            start = cut[name]
            cut[name] += counts["pixels" if name in _OF_PIXELS else "pieces"]
            part[name] = array[start : cut[name]]
            if cut[name] > len(array):
                raise ValueError("the arrays do not fit each other")
        part |= {name: part[name][:, :width] for name in _BY_CLASS}
        part |= {name: part[name][:, 0] for name in _COLUMNS}
        within = (
            part["pixel_pieces"].max() < counts["pieces"] and part["pixel_labels"].max() < width
        )
        if not within or min(part["weights"].min(), part["pixel_weights"].min()) < 0:
            raise ValueError("an array points outside another")
        finished = image["finished"] is True
        digest, name = _text(image["digest"], 64), _text(image["name"], 4096, empty=True)
        found.append(ImageRecord(digest, name, finished, classes, **part))
    if any(cut[name] != len(array) for name, array in arrays.items()):
        raise ValueError("the arrays do not fit each other")
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
