"""Label layers that Auto-segment did not make: a mask that was opened, to be refined as it is."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari.layers import Labels

from napari_wildseg.engine.classes import ClassInfo, class_colour, fold, parse_classes
from napari_wildseg.engine.corrections import checked_corrections
from napari_wildseg.engine.errors import InputError
from napari_wildseg.gui.annotation.decisions import (
    UNLABELLED,
    from_corrections,
    label_values,
    labels_in,
    outside_range,
)
from napari_wildseg.gui.annotation.provenance import KEY, Loaded
from napari_wildseg.gui.annotation.session import LABELS
from napari_wildseg.gui.annotation.tracked_layer import TrackedLayer
from napari_wildseg.gui.layers.display import level_shape
from napari_wildseg.gui.layers.label_pair import class_names, read_plane
from napari_wildseg.gui.layers.object_layer import MARK

if TYPE_CHECKING:
    from napari_wildseg.gui.annotation.session import ImageSession
    from napari_wildseg.gui.annotation.workspace import Workspace
    from napari_wildseg.gui.layers.display import Plane


class OpenedLabels:
    """Finds label layers of the chosen image that are not ours, and takes one over for Refine."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._noted: weakref.WeakKeyDictionary[Labels, TrackedLayer] = weakref.WeakKeyDictionary()

    def track(self) -> None:
        """Track such layers in view, so that later strokes count as corrections."""
        workspace = self._workspace
        session, plane = workspace.session, workspace.plane
        if session is None or plane is None:
            return
        ours = session.tracked.get(LABELS)
        if ours is not None and ours.adopted and ours.layer is not None:
            ours.tracker(plane)
        for layer in self._suitable(session):
            if layer not in self._noted:
                self._noted[layer] = TrackedLayer(layer)
            self._noted[layer].tracker(plane)

    def found(self) -> Labels | None:
        """Return the layer to start from: the active one, else the topmost in view."""
        workspace = self._workspace
        session, plane = workspace.session, workspace.plane
        if session is None or plane is None or session.layer(LABELS) is not None:
            return None
        layers = [x for x in self._suitable(session) if read_plane(x, plane).any()]
        active = workspace.viewer.layers.selection.active
        if active in layers:
            return active
        return next((layer for layer in reversed(layers) if layer.visible), None)

    def is_corrected(self) -> bool:
        """Whether the annotator corrected that layer already."""
        layer, plane = self.found(), self._workspace.plane
        tracked = None if layer is None else self._noted.get(layer)
        return tracked is not None and plane is not None and tracked.has_decisions(plane)

    def set_prior(self) -> None:
        """Let Refine start from the opened labels of the plane in view, unless it has a prior."""
        workspace = self._workspace
        session, plane = workspace.session, workspace.plane
        if session is None or plane is None:
            return
        state = session.plane_state(plane)
        if state.segmented or state.prior is not None:
            return
        if (layer := self.found()) is not None:
            self._adopt(session, layer, plane)
        ours = session.tracked.get(LABELS)
        if ours is not None and ours.adopted and ours.layer is not None:
            prior = ours.tracker(plane).baseline
            state.prior = prior if prior.any() else None

    def _suitable(self, session: ImageSession) -> list[Labels]:
        image = session.image
        if image is None or session.layer(LABELS) is not None:
            return []
        sessions, shape = self._workspace.sessions, level_shape(image)
        return [
            layer
            for layer in self._workspace.viewer.layers
            if isinstance(layer, Labels)
            and not layer.multiscale
            and tuple(layer.data.shape) == shape
            and sessions.owner_of(layer) is None
            and MARK not in layer.metadata
        ]

    def _adopt(self, session: ImageSession, layer: Labels, plane: Plane) -> None:
        """Take a layer over as the labels of an image, with the names it brings."""
        data = read_plane(layer, plane)
        if (outside := outside_range(data)) is not None:
            raise InputError(
                f"{layer.name} holds label {int(data[outside][0])}, but labels run from 0 to 254 "
                "here: a layer of objects has to be turned into one of classes first."
            )
        origin = layer.metadata.get(KEY)
        known: dict[str, Any] = origin.known() if isinstance(origin, Loaded) else {}
        present = labels_in(label_values(data)) - {0, UNLABELLED}
        named = {c.id: c for c in known.get("classes", ())}
        for number, name in class_names(layer).items():
            if 0 < number < UNLABELLED and number not in named:
                named[number] = ClassInfo(number, str(name), (str(name),), class_colour(number))
        tracked = self._noted.get(layer) or TrackedLayer(layer)
        tracker = tracked.tracker(plane)
        corrections = known.get("corrections")
        if corrections is not None and corrections.shape == tuple(layer.data.shape):
            values = corrections[plane.slices]
            checked_corrections(values, (values.shape[0], values.shape[1]), list(named))
            tracker.restore(from_corrections(values))
        session.may_replace = False
        rows = _rows(session.classes, named, present)
        self._workspace.layers.adopt(session, layer, tracked)
        self._workspace.set_classes(rows)


def _rows(
    classes: tuple[ClassInfo, ...], named: dict[int, ClassInfo], present: set[int]
) -> tuple[ClassInfo, ...]:
    """Join the table with the classes of a layer, whose label values stay as they are.

    A name that both have is one class. A label without a name belongs to the row of that number,
    and gets one where there is none.
    """
    ours = {fold(info.name): info for info in classes}
    rows = {}
    for number, info in named.items():
        same = ours.pop(fold(info.name), info)
        rows[number] = ClassInfo(number, same.name, same.prompts, same.colour)
    for info in ours.values():
        taken = rows.keys() | present if named else rows.keys()
        number = next(n for n in (info.id, *range(1, UNLABELLED)) if n not in taken)
        rows[number] = ClassInfo(number, info.name, info.prompts, info.colour)
    for number in present - set(rows):
        rows[number] = ClassInfo(
            number, f"class {number}", (f"class {number}",), class_colour(number)
        )
    return parse_classes([rows[number] for number in sorted(rows)])
