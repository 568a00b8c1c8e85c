"""Reading and writing of label files, data sets and projects. Needs neither napari nor torch."""

from napari_wildseg.io.class_sets import read_class_set, write_class_set
from napari_wildseg.io.coco_dataset import COCODataSet
from napari_wildseg.io.formats import FORMATS, Format
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.labels import format_of, read_labels, write_labels
from napari_wildseg.io.project import Project, load_project, save_project
from napari_wildseg.io.voc_dataset import VOCDataSet

__all__ = [
    "FORMATS",
    "COCODataSet",
    "Format",
    "LabelImage",
    "Project",
    "VOCDataSet",
    "format_of",
    "load_project",
    "read_class_set",
    "read_labels",
    "save_project",
    "write_class_set",
    "write_labels",
]
