"""Export of the labels in view, by way of the io room."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_wildseg.engine.errors import InputError
from napari_wildseg.gui.layers import read_plane
from napari_wildseg.gui.session import LABELS, PSEUDO

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_wildseg.gui.display import Plane
    from napari_wildseg.gui.session import ImageSession
    from napari_wildseg.io import LabelImage

FILTERS = "Indexed PNG with sidecar (*.png);;TIFF (*.tif);;NumPy (*.npz)"


def suggested_name(session: ImageSession, plane: Plane) -> str:
    """Return a file name for the labels of a plane, without folder."""
    image = session.image
    stem = re.sub(r"[^\w.-]+", "_", image.name if image is not None else "").strip("._") or "image"
    fixed = [f"{i:04d}" for i in plane.index if i is not None]
    return "_".join([stem, *fixed]) + ".png"


def label_image(session: ImageSession, plane: Plane) -> LabelImage:
    """Return the labels of a plane with all that is known about them.

    Parameters
    ----------
    session : ImageSession
        The image.
    plane : Plane
        Which plane of it.

    Raises
    ------
    InputError
        If there are no labels yet.
    """
    from napari_wildseg.io import LabelImage

    layer = session.layer(LABELS) or session.layer(PSEUDO)
    image = session.image
    if layer is None or image is None:
        raise InputError("There is nothing to export yet: press Auto-segment first.")
    state = session.plane_state(plane)
    return LabelImage.from_array(
        np.array(read_plane(layer, plane)),
        session.classes,
        scale=_pixel_size(layer, plane),
        units=_unit(layer, plane),
        image=image.name,
        model=state.model,
        settings=state.settings,
        corrections=session.corrections(plane),
    )


def save(session: ImageSession, plane: Plane, path: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the labels of a plane; the ending of the name chooses the format.

    Parameters
    ----------
    session : ImageSession
        The image.
    plane : Plane
        Which plane of it.
    path : Path
        The file; without an ending it becomes a PNG.
    overwrite : bool
        Whether existing files may be replaced.

    Returns
    -------
    list of Path
        Every file written.
    """
    from napari_wildseg.io import write_labels

    return write_labels(with_ending(path), label_image(session, plane), overwrite=overwrite)


def _pixel_size(layer: Labels, plane: Plane) -> tuple[float, float]:
    inside = [abs(float(s)) for s, i in zip(layer.scale, plane.index, strict=True) if i is None]
    return inside[0], inside[1]


def _unit(layer: Labels, plane: Plane) -> str:
    units = [str(u) for u, i in zip(layer.units, plane.index, strict=True) if i is None]
    return units[0] if units[0] == units[1] else "pixel"


def with_ending(path: Path) -> Path:
    """Return the name with an ending: without one it becomes a PNG."""
    return path if path.suffix else path.with_suffix(".png")


def existing(path: Path) -> list[Path]:
    """Return the files an export to this name would replace."""
    files = [path]
    if path.suffix.lower() == ".png":
        files.append(path.with_suffix(".json"))
    return [p for p in files if p.exists()]
