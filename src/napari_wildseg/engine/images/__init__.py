"""Images as RGB, their views and encodings, and the grids on which maps lie."""

from napari_wildseg.engine.images.rgb import as_rgb

__all__ = ["as_rgb"]
