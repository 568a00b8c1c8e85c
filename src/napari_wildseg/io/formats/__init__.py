"""Label file formats behind one registry: a new format is one module and one line here."""

from __future__ import annotations

from napari_wildseg.io.formats import coco, npz, ome_zarr, png, project_format, tiff, yolo
from napari_wildseg.io.formats.label_format import Format

FORMATS: tuple[Format, ...] = (
    png.FORMAT,
    tiff.OME,  # before TIFF, whose ending it ends with
    tiff.FORMAT,
    npz.FORMAT,
    coco.FORMAT,
    yolo.FORMAT,
    ome_zarr.FORMAT,
    project_format.FORMAT,
)
"""Every format, in the order they are offered."""

__all__ = ["FORMATS", "Format"]
