"""Label file formats behind one registry: a new format is one module and one line here."""

from __future__ import annotations

from napari_wildseg.io.formats import coco, npz, ome_zarr, png, project_format, tiff, yolo
from napari_wildseg.io.formats.label_format import Format

FORMATS: tuple[Format, ...] = (
    png.PNG_FORMAT,
    tiff.OME_TIFF_FORMAT,  # before TIFF, whose ending it ends with
    tiff.TIFF_FORMAT,
    npz.NPZ_FORMAT,
    coco.COCO_FORMAT,
    yolo.YOLO_FORMAT,
    ome_zarr.OME_ZARR_FORMAT,
    project_format.PROJECT_FORMAT,
)
"""Every format, in the order they are offered."""

__all__ = ["FORMATS", "Format"]
