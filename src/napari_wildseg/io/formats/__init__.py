"""Registry of label file formats. A new format is one module and one line here."""

from napari_wildseg.io.formats import coco, npz, ome_zarr, png, project_format, tiff, yolo
from napari_wildseg.io.formats.label_format import Format

FORMATS: tuple[Format, ...] = (
    png.PNG_FORMAT,
    tiff.OME_TIFF_FORMAT,  # before TIFF, since .ome.tif also ends with .tif
    tiff.TIFF_FORMAT,
    npz.NPZ_FORMAT,
    coco.COCO_FORMAT,
    yolo.YOLO_FORMAT,
    ome_zarr.OME_ZARR_FORMAT,
    project_format.PROJECT_FORMAT,
)
"""All formats, in the order of menus."""

__all__ = ["FORMATS", "Format"]
