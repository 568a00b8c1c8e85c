"""Project files: the complete state of the work on one image or stack."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.checks import checked_path, require
from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.description import labels_with_description
from napari_wildseg.io.label_image import LabelImage, check_corrections
from napari_wildseg.io.safety.archive import ArraySpec, checked_corrections_of, read_npz, write_npz
from napari_wildseg.io.safety.json_data import check_version

if TYPE_CHECKING:
    from napari_wildseg.engine.segmenter import Segmenter

PROJECT_SUFFIX = ".wildseg"
_FORMAT = "napari-wildseg project"
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Project:
    """The state of one image or stack.

    Attributes
    ----------
    labels : LabelImage
        Labels, classes, corrections, model, settings and pixel size.
    pseudo_labels : ndarray or None
        uint8 of the labels' shape; 255 where undecided.
    relevance : ndarray or None
        ``(K, H, W)`` float32 (``(K, Z, H, W)`` for a stack), one map per class. Large, and not
        needed to resume.
    image_digest : str
        `image_digest` of the picture, compared on resuming; ``""`` if unknown.
    pseudo_corrections : ndarray or None
        Corrections painted into the pseudo-labels; as ``labels.corrections``.
    objects : ndarray or None
        int32 of the labels' shape: ids of objects, 0 for none.
    object_strokes : ndarray or None
        int32 of the labels' shape: corrections of objects, as `engine.instances` takes them.
    state : dict
        State of the viewer, such as finished planes and hidden classes. Must be writable as JSON.

    Raises
    ------
    InputError
        If shapes or types do not fit the labels.
    """

    labels: LabelImage
    pseudo_labels: NDArray[np.uint8] | None = None
    relevance: NDArray[np.float32] | None = None
    image_digest: str = ""
    pseudo_corrections: NDArray[np.int16] | None = None
    state: Mapping[str, Any] = field(default_factory=dict)
    objects: NDArray[np.int32] | None = None
    object_strokes: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        require(self.labels, LabelImage, "labels", "a LabelImage")
        arrays = ("pseudo_labels", "relevance", "pseudo_corrections", "objects", "object_strokes")
        for name in arrays:
            require(getattr(self, name), (np.ndarray, type(None)), name, "an array, or None")
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
        painted = self.pseudo_corrections
        if painted is not None and (painted.shape != shape or painted.dtype != np.int16):
            raise InputError("The corrections of pseudo-labels are not int16 of the labels' shape.")
        check_corrections(painted)
        for array in (self.objects, self.object_strokes):
            if array is not None and (array.shape != shape or array.dtype != np.int32):
                raise InputError("Objects and their strokes are not int32 of the labels' shape.")
        if self.objects is not None and int(self.objects.min()) < 0:
            raise InputError("Ids of objects are 0 or more.")
        require(self.image_digest, str, "digest of the image", "what image_digest gives")
        if not re.fullmatch(r"(sha256:[0-9a-f]{64})?", self.image_digest):
            raise InputError("The image's digest is not one that image_digest gives.")

    def resume(self, image: NDArray[Any], *, device: str = "auto") -> Segmenter:
        """Return a segmenter in the saved state.

        Parameters
        ----------
        image : ndarray
            The image, as given to `Segmenter.set_image`; it is encoded again.
        device : str
            ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

        Returns
        -------
        Segmenter
            Its ``result`` has the saved labels and settings.

        Raises
        ------
        InputError
            If the image is another one, or the project is of a stack.

        Examples
        --------
        >>> project = load_project("cat.wildseg")  # doctest: +SKIP
        >>> segmenter = project.resume(image)  # doctest: +SKIP
        >>> result = segmenter.refine(segmenter.result.corrections)  # doctest: +SKIP
        """
        from napari_wildseg.engine.segmenter import Segmenter

        saved = self.labels
        if saved.stacked:
            raise InputError("This project is of a stack: open it in the viewer.")
        if self.image_digest not in ("", image_digest(np.asarray(image))):
            raise InputError("This is not the image of the project: its pixels are others.")
        chosen = _engine_settings(saved.settings)
        threshold = chosen.pop("threshold")
        segmenter = Segmenter(saved.model or "starter", device=device, **chosen)
        segmenter.set_image(image)
        if segmenter.image_shape != saved.labels.shape:
            raise InputError(
                f"The image is {segmenter.image_shape}, the project's labels are "
                f"{saved.labels.shape}: give the image they are of."
            )
        fresh = segmenter.segment(saved.classes, threshold=threshold, refine=False)
        pseudo = fresh.pseudo_labels if self.pseudo_labels is None else self.pseudo_labels
        segmenter.result = replace(
            fresh,
            labels=saved.labels,
            pseudo_labels=pseudo,
            # `settings_of` adds "refined" for files; a result has no such setting.
            settings={k: v for k, v in saved.settings.items() if k != "refined"},
            corrections=saved.corrections,
        )
        return segmenter


def _engine_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Segmenter` from saved settings; values are not trusted."""
    found: dict[str, Any] = {"views": "default", "method": None, "refiner": "default"}
    for name in found:
        if isinstance(value := settings.get(name), str):
            found[name] = value
    threshold = settings.get("threshold", 0.5)
    found["threshold"] = threshold if type(threshold) in (int, float) else 0.5
    return found


def image_digest(image: NDArray[Any]) -> str:
    """Return a SHA-256 digest of an image's shape, dtype and pixels.

    Parameters
    ----------
    image : ndarray
        The pixels, of any shape and dtype.

    Examples
    --------
    >>> image_digest(np.zeros((2, 2, 3), np.uint8))[:14]
    'sha256:ba5db90'
    """
    digest = hashlib.sha256(f"{image.shape} {image.dtype}\n".encode())
    digest.update(np.ascontiguousarray(image).data)
    return f"sha256:{digest.hexdigest()}"


def save_project(path: str | Path, project: Project, *, overwrite: bool = False) -> Path:
    """Write a project file, atomically.

    Parameters
    ----------
    path : str or Path
        The file, usually ending in ``.wildseg``: a zip archive of NumPy arrays and JSON.
    project : Project
        The state to write.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the file exists already.
    WildsegError
        If it cannot be written.
    """
    path = checked_path(path)
    require(project, Project, "project", "a Project")
    arrays = {
        "labels": project.labels.labels,
        "corrections": project.labels.corrections,
        "pseudo_labels": project.pseudo_labels,
        "relevance": project.relevance,
        "pseudo_corrections": project.pseudo_corrections,
        "objects": project.objects,
        "object_strokes": project.object_strokes,
    }
    about = {
        "format": _FORMAT,
        "version": _VERSION,
        "image_digest": project.image_digest,
        "labels": project.labels.about(corrections=False),
        "state": dict(project.state),
    }
    present = {name: array for name, array in arrays.items() if array is not None}
    write_npz(path, present, about, overwrite=overwrite)
    return path


def load_project(path: str | Path) -> Project:
    """Read a project file. Every value is checked, and no code in it is executed.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    InputError
        If the file is damaged, too large, of a later version, or not a project.
    """
    path = checked_path(path)
    arrays, about = read_npz(
        path,
        {
            "labels": ArraySpec("u", (2, 4)),
            "corrections": ArraySpec("i", (2, 4)),
            "pseudo_labels": ArraySpec("u", (2, 4)),
            "pseudo_corrections": ArraySpec("i", (2, 4)),
            "relevance": ArraySpec("f", (3, 5)),
            "objects": ArraySpec("i", (2, 4)),
            "object_strokes": ArraySpec("i", (2, 4)),
        },
    )
    if not isinstance(about, dict) or about.get("format") != _FORMAT or "labels" not in arrays:
        raise InputError(f"{path.name} is not a project of napari-wildseg.")
    check_version(about, _VERSION, path.name, "project")
    digest = about.get("image_digest", "")
    values = arrays["labels"]
    corrections = checked_corrections_of(arrays, path.name)
    labels = labels_with_description(
        values, about.get("labels"), path.name, corrections=corrections
    )
    state = about.get("state", {})
    relevance = arrays.get("relevance")
    if relevance is not None and not np.isfinite(relevance).all():
        raise InputError(f"{path.name}: its relevance maps are not numbers.")
    return Project(
        labels,
        pseudo_labels=arrays.get("pseudo_labels"),
        relevance=relevance,
        image_digest=digest if isinstance(digest, str) else "?",
        pseudo_corrections=checked_corrections_of(arrays, path.name, "pseudo_corrections"),
        state=state if isinstance(state, dict) else {},
        objects=arrays.get("objects"),
        object_strokes=arrays.get("object_strokes"),
    )
