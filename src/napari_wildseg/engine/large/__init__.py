"""Segmentation of images larger than memory: relevance by windows, refinement by tiles."""

from napari_wildseg.engine.large.large_result import LargeResult
from napari_wildseg.engine.large.large_segmenter import LargeSegmenter
from napari_wildseg.engine.large.layout import Box
from napari_wildseg.engine.large.source import LargeImage

__all__ = ["Box", "LargeImage", "LargeResult", "LargeSegmenter"]
