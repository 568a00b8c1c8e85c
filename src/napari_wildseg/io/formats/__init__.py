"""Label file formats behind one registry: a new format is one module and one line here."""

from __future__ import annotations

from napari_wildseg.io.formats import png
from napari_wildseg.io.formats.base import Format

FORMATS: tuple[Format, ...] = (png.FORMAT,)
"""Every format, in the order they are offered."""

__all__ = ["FORMATS", "Format"]
