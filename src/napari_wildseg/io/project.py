"""Project files: all that was done to an image, to go on with tomorrow or on another machine."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.archive import ArraySpec, read_archive, write_archive
from napari_wildseg.io.formats.npz import corrections_from
from napari_wildseg.io.label_image import LabelImage, about_from_json

SUFFIX = ".wildseg"
_FORMAT = "napari-wildseg project"
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Project:
    """The state of one image.

    Attributes
    ----------
    labels : LabelImage
        The result, classes, corrections, model, settings and pixel size.
    pseudo_labels : ndarray or None
        ``(H, W)`` uint8, 255 where the maps were not sure.
    relevance : ndarray or None
        ``(K, H, W)`` float32, one map a class; large, and not needed to go on.
    image_digest : str
        `image_digest` of the picture, to tell whether it is the same, or ``""``.

    Raises
    ------
    InputError
        If shapes or types do not fit the labels.
    """

    labels: LabelImage
    pseudo_labels: NDArray[np.uint8] | None = None
    relevance: NDArray[np.float32] | None = None
    image_digest: str = ""

    def __post_init__(self) -> None:
        shape, classes = self.labels.labels.shape, self.labels.classes
        pseudo, maps = self.pseudo_labels, self.relevance
        if pseudo is not None:
            if pseudo.shape != shape or pseudo.dtype != np.uint8:
                raise InputError("The pseudo-labels are not uint8 of the labels' shape.")
            allowed = [0, UNLABELLED, *(info.id for info in classes)]
            if not np.isin(pseudo, allowed).all():
                raise InputError("The pseudo-labels hold a value that is no class.")
        if maps is not None and (maps.shape != (len(classes), *shape) or maps.dtype != np.float32):
            raise InputError("The relevance maps are not (K, H, W) float32, one map a class.")
        if not re.fullmatch(r"(sha256:[0-9a-f]{64})?", self.image_digest):
            raise InputError("The image's digest is not one that image_digest gives.")


def image_digest(rgb: NDArray[np.uint8]) -> str:
    """Return a signature of a picture's content.

    Parameters
    ----------
    rgb : ndarray
        ``(H, W, 3)`` uint8.

    Examples
    --------
    >>> image_digest(np.zeros((2, 2, 3), np.uint8))[:14]
    'sha256:ba5db90'
    """
    digest = hashlib.sha256(f"{rgb.shape} {rgb.dtype}\n".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return f"sha256:{digest.hexdigest()}"


def save_project(path: str | Path, project: Project, *, overwrite: bool = False) -> Path:
    """Write a project file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Where; ``.wildseg`` is the usual ending. The file is a zip of NumPy arrays and JSON.
    project : Project
        What.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the file is there already.
    WildsegError
        If it cannot be written.
    """
    arrays = {
        "labels": project.labels.labels,
        "corrections": project.labels.corrections,
        "pseudo_labels": project.pseudo_labels,
        "relevance": project.relevance,
    }
    about = {
        "format": _FORMAT,
        "version": _VERSION,
        "image_digest": project.image_digest,
        "labels": project.labels.about(),
    }
    present = {name: array for name, array in arrays.items() if array is not None}
    write_archive(Path(path), present, about, overwrite=overwrite)
    return Path(path)


def load_project(path: str | Path) -> Project:
    """Read a project file; nothing in it is trusted, and no code of it is run.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    InputError
        If it is damaged, too large, of a later version, or no project.
    """
    path = Path(path)
    arrays, about = read_archive(
        path,
        {
            "labels": ArraySpec("u", 2),
            "corrections": ArraySpec("i", 2),
            "pseudo_labels": ArraySpec("u", 2),
            "relevance": ArraySpec("f", 3, 500_000_000),
        },
    )
    if not isinstance(about, dict) or about.get("format") != _FORMAT or "labels" not in arrays:
        raise InputError(f"{path.name} is not a project of napari-wildseg.")
    version = about.get("version")
    if type(version) is not int or not 1 <= version <= _VERSION:
        raise InputError(
            f"{path.name} has project version {version}; this napari-wildseg reads up to "
            f"{_VERSION}: update it."
        )
    digest = about.get("image_digest", "")
    values = arrays["labels"]
    labels = LabelImage.from_array(
        values,
        corrections=corrections_from(arrays, path.name),
        **about_from_json(about.get("labels"), path.name, values.shape),
    )
    relevance = arrays.get("relevance")
    if relevance is not None and not np.isfinite(relevance).all():
        raise InputError(f"{path.name}: its relevance maps are not numbers.")
    return Project(
        labels,
        pseudo_labels=arrays.get("pseudo_labels"),
        relevance=relevance,
        image_digest=digest if isinstance(digest, str) else "?",
    )
