"""Objects in files: ids, the class of each, and a table."""

from napari_wildseg.io.objects.object_files import OBJECT_FORMATS, read_objects, write_objects
from napari_wildseg.io.objects.object_image import ObjectImage
from napari_wildseg.io.objects.table_csv import table_csv

__all__ = ["OBJECT_FORMATS", "ObjectImage", "read_objects", "table_csv", "write_objects"]
