"""Picture files as arrays, and the sample photographs."""

from napari_wildseg.engine.pictures.picture_files import check_size, read_picture, stem_of

__all__ = ["check_size", "read_picture", "stem_of"]
