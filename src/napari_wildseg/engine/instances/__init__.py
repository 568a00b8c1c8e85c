"""Objects of the classes: every nucleus, every cat, with an id of its own."""

from napari_wildseg.engine.instances.object_strokes import CUT, ERASED, UNTOUCHED, drawn_as
from napari_wildseg.engine.instances.objects import Objects, objects_of, thing_ids
from napari_wildseg.engine.instances.recording import record
from napari_wildseg.engine.instances.splitting import split, split_stack, update
from napari_wildseg.engine.instances.table import COLUMNS, classes_of, table_of

__all__ = [
    "COLUMNS",
    "CUT",
    "ERASED",
    "UNTOUCHED",
    "Objects",
    "classes_of",
    "drawn_as",
    "objects_of",
    "record",
    "split",
    "split_stack",
    "table_of",
    "thing_ids",
    "update",
]
