"""NPZ: the arrays as NumPy reads them, and a description as JSON; no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.archive import ArraySpec, read_archive, write_archive
from napari_wildseg.io.formats.base import Format
from napari_wildseg.io.label_image import LabelImage, about_from_json


def write(path: Path, labels: LabelImage, *, overwrite: bool = False) -> list[Path]:
    """Write ``labels`` and, if there are any, ``corrections``.

    Parameters
    ----------
    path : Path
        The NPZ.
    labels : LabelImage
        What to write; all of it is kept.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    list of Path
        The file.
    """
    arrays: dict[str, NDArray[Any]] = {"labels": labels.labels}
    if labels.corrections is not None:
        arrays["corrections"] = labels.corrections
    write_archive(path, arrays, labels.about(), overwrite=overwrite)
    return [path]


def read(path: Path) -> LabelImage:
    """Read an NPZ of ours, or one of another program with an array called ``labels``.

    Parameters
    ----------
    path : Path
        The NPZ.

    Raises
    ------
    InputError
        If it is damaged, too large, or holds no such array.
    """
    spec = {"labels": ArraySpec("bui", 2), "corrections": ArraySpec("i", 2)}
    arrays, about = read_archive(path, spec)
    if "labels" not in arrays:
        raise InputError(f'{path.name} holds no array called "labels".')
    values = arrays["labels"]
    corrections = corrections_from(arrays, path.name)
    known = {} if about is None else about_from_json(about, path.name, values.shape)
    return LabelImage.from_array(values, corrections=corrections, **known)


def corrections_from(arrays: dict[str, NDArray[Any]], where: str) -> NDArray[np.int16] | None:
    """Check and return the corrections of an archive, if it has any.

    Parameters
    ----------
    arrays : dict of str to ndarray
        What `read_archive` found.
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        If a value is neither -1 nor a label.
    """
    corrections = arrays.get("corrections")
    if corrections is None:
        return None
    if corrections.min() < -1 or corrections.max() > MAX_CLASSES:
        raise InputError(f"{where}: its corrections are not -1 or labels.")
    return corrections.astype(np.int16)


FORMAT = Format("npz", "NumPy archive, with corrections", (".npz",), read, write)
