"""Label files, sidecars and overlays in and out; needs no window and no torch."""

from __future__ import annotations

from napari_wildseg.io.formats import FORMATS, Format
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.labels import format_of, read_labels, write_labels

__all__ = ["FORMATS", "Format", "LabelImage", "format_of", "read_labels", "write_labels"]
