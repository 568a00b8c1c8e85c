"""Metadata of our label layers, so that saving keeps more than the pixels."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.gui.annotation.decisions import to_corrections

if TYPE_CHECKING:
    from napari_wildseg.gui.annotation.session import ImageSession
    from napari_wildseg.gui.annotation.tracked_layer import TrackedLayer
    from napari_wildseg.gui.layers.display import Plane

KEY = "wildseg_labels"
"""Where it is in a layer's metadata."""


class Provenance:
    """Where the labels of a layer come from; looked up when they are saved."""

    def __init__(self, session: ImageSession, tracked: TrackedLayer) -> None:
        self._session = weakref.ref(session)
        self._tracked = weakref.ref(tracked)
        self.array: Any = None
        """What the layer holds; when it is replaced, decisions are read from the old pixels."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Provenance:
        """A duplicated layer has the same origin."""
        return self

    def known(self) -> dict[str, Any]:
        """Return attributes of `LabelImage`: classes, image, model, settings, corrections."""
        session, tracked = self._session(), self._tracked()
        if session is None or tracked is None or tracked.layer is None:
            return {}
        state = next(iter(session.planes.values()), None)
        shape = tuple(tracked.layer.data.shape)
        return {
            "classes": session.classes,
            "image": "" if session.image is None else session.image.name,
            "model": "" if state is None else state.model,
            "settings": {} if state is None else state.settings,
            "corrections": corrections_of(
                shape, {plane: tracked.decided(plane) for plane in tracked.touched()}
            ),
        }


class Loaded:
    """What a file holds beside the pixels, for a layer that a reader made."""

    def __init__(self, classes: tuple[ClassInfo, ...], more: dict[str, Any]) -> None:
        self._known = {"classes": classes, **more}

    def known(self) -> dict[str, Any]:
        """Return attributes of `LabelImage`."""
        return dict(self._known)


def corrections_of(
    shape: tuple[int, ...], decided: dict[Plane, NDArray[np.uint8] | None]
) -> NDArray[np.int16] | None:
    """Join the decisions of planes into corrections of a whole layer; None if there are none."""
    out: NDArray[np.int16] | None = None
    for plane, values in decided.items():
        corrections = to_corrections(values)
        if corrections is None or (corrections < 0).all():
            continue
        if out is None:
            out = np.full(shape, -1, np.int16)
        view = out[plane.slices]
        np.copyto(view, corrections, where=corrections >= 0)
    return out
