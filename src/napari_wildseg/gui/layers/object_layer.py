"""The layer of objects beside an image: ids in shuffled colours, class and area in the status."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.gui.annotation.image_objects import ImageObjects
from napari_wildseg.gui.controls.plain_text import plain
from napari_wildseg.gui.layers.display import level_shape
from napari_wildseg.gui.layers.label_pair import place_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wildseg.gui.annotation.session import ImageSession
    from napari_wildseg.io.objects import ObjectImage

OBJECTS_SUFFIX = " objects"
MARK = "wildseg_objects"
"""Where the metadata of such a layer hold its `ObjectsOrigin`."""


class ObjectsOrigin:
    """Where objects come from; looked up when the layer is saved."""

    def __init__(self, session: ImageSession) -> None:
        self._session = weakref.ref(session)

    def __deepcopy__(self, memo: dict[int, Any]) -> ObjectsOrigin:
        """A duplicated layer has the same origin."""
        return self

    def object_image(self, ids: NDArray[np.integer]) -> ObjectImage:
        """Return ids with all that is known about them."""
        from napari_wildseg.gui.export import has_labels
        from napari_wildseg.gui.state import whole
        from napari_wildseg.io.objects import ObjectImage
        from napari_wildseg.io.objects.object_image import foreign_objects

        session = self._session()
        if session is None or session.image is None or not has_labels(session):
            return foreign_objects(ids, "The layer")
        return ObjectImage(ids.astype(np.int32), whole(session), session.objects.classes())


def make_objects(image: Image, session: ImageSession) -> Labels:
    """Return an empty layer of objects that lies exactly on an image."""
    return Labels(
        np.zeros(level_shape(image), np.int32),
        name=image.name + OBJECTS_SUFFIX,
        opacity=0.7,
        metadata={MARK: ObjectsOrigin(session)},
        **place_of(image),
    )


def name_objects(layer: Labels, objects: ImageObjects, classes: Sequence[ClassInfo]) -> None:
    """Show class and area of the object under the pointer in the status bar."""
    names = {info.id: plain(info.name) for info in classes}
    class_of = objects.classes()
    area = {n: a for state in objects.planes.values() for n, a in state.area.items()}
    numbers = sorted(class_of)
    layer.features = {
        "index": [0, *numbers],
        "class": ["no object", *(names.get(class_of[n], "no class") for n in numbers)],
        "area": [0, *(area.get(n, 0) for n in numbers)],
    }
