"""RGB images, views, encodings and grids."""

from napari_wildseg.engine.images.rgb import as_rgb

__all__ = ["as_rgb"]
