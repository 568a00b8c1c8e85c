"""Class memory: what finished and corrected images teach about the classes of the next one."""

from __future__ import annotations

from napari_wildseg.engine.memory.class_memory import (
    ClassMemory,
    RememberedClass,
    RememberedImage,
)
from napari_wildseg.engine.memory.records import ImageRecord, Source

__all__ = ["ClassMemory", "ImageRecord", "RememberedClass", "RememberedImage", "Source"]
