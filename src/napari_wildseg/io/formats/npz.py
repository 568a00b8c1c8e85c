"""NPZ: the arrays as NumPy reads them, and a description as JSON; no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.description import described
from napari_wildseg.io.formats.label_format import Format
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.masks.foreign import of_others, refuse_meaning
from napari_wildseg.io.safety.archive import (
    ArraySpec,
    corrections_from,
    read_archive,
    write_archive,
)


def write(path: Path, labels: LabelImage, *, overwrite: bool = False) -> list[Path]:
    """Write ``labels`` and, if there are any, ``corrections``."""
    arrays: dict[str, NDArray[Any]] = {"labels": labels.labels}
    if labels.corrections is not None:
        arrays["corrections"] = labels.corrections
    write_archive(path, arrays, labels.about(corrections=False), overwrite=overwrite)
    return [path]


def read(path: Path, *, value_255: str | None = None, turn: bool = True) -> LabelImage:
    """Read an NPZ of ours, or one of another program with an array called ``labels``."""
    spec = {"labels": ArraySpec("bui", (2, 4)), "corrections": ArraySpec("i", (2, 4))}
    arrays, about = read_archive(path, spec)
    if "labels" not in arrays:
        raise InputError(f'{path.name} holds no array called "labels".')
    values = arrays["labels"]
    corrections = corrections_from(arrays, path.name)
    if about is None:
        return of_others(values, where=path.name, value_255=value_255, corrections=corrections)
    refuse_meaning(value_255, path.name)
    return described(values, about, path.name, corrections=corrections)


FORMAT = Format("npz", "NumPy archive", (".npz",), read, write, stacks=True, masks=True)
