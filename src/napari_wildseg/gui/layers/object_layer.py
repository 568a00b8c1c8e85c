"""The layer of objects beside an image: ids in shuffled colours, class and area in the status."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from napari.layers import Image, Labels

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.gui.annotation.image_objects import ImageObjects
from napari_wildseg.gui.controls.plain_text import plain
from napari_wildseg.gui.layers.display import level_shape
from napari_wildseg.gui.layers.label_pair import place_of

OBJECTS_SUFFIX = " objects"
MARK = "wildseg_objects"
"""What the metadata of such a layer hold."""


def make_objects(image: Image) -> Labels:
    """Return an empty layer of objects that lies exactly on an image."""
    return Labels(
        np.zeros(level_shape(image), np.int32),
        name=image.name + OBJECTS_SUFFIX,
        opacity=0.7,
        metadata={MARK: True},
        **place_of(image),
    )


def name_objects(layer: Labels, objects: ImageObjects, classes: Sequence[ClassInfo]) -> None:
    """Have the status bar say class and area of the object under the pointer."""
    names = {info.id: plain(info.name) for info in classes}
    class_of = objects.classes()
    area = {n: a for state in objects.planes.values() for n, a in state.area.items()}
    numbers = sorted(class_of)
    layer.features = {
        "index": [0, *numbers],
        "class": ["no object", *(names.get(class_of[n], "no class") for n in numbers)],
        "area": [0, *(area.get(n, 0) for n in numbers)],
    }
