"""What the last Refine changed: a sentence, and an overlay until the next action."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels

from napari_wildseg.engine.changes import alarming, describe
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.gui.annotation.decisions import UNLABELLED
from napari_wildseg.gui.layers.display import level_shape
from napari_wildseg.gui.layers.label_pair import colours_and_features, place_of

if TYPE_CHECKING:
    from napari_wildseg.gui.actions.controller import Controller
    from napari_wildseg.gui.annotation.session import ImageSession
    from napari_wildseg.gui.jobs.engine_jobs import Difference
    from napari_wildseg.gui.layers.display import Plane

BECAME_BACKGROUND = UNLABELLED
"""Value of the overlay where a pixel became background; drawn in grey."""


def describe_refinement(
    difference: Difference | None, classes: Sequence[ClassInfo]
) -> tuple[str, bool]:
    """Describe what a refinement changed."""
    if difference is None:
        return "Ctrl+Z undoes.", False
    names = {info.id: info.name for info in classes}
    changes = describe(difference.changes, names, difference.painted)
    alarm = bool(alarming(difference.changes, difference.painted))
    return f"{changes or 'No class changed by 1 %'}: Ctrl+Z undoes.", alarm


class ShownChanges:
    """Shows which pixels the last Refine changed."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._last: tuple[weakref.ref[ImageSession], Plane, Difference] | None = None
        self._layer: weakref.ref[Labels] | None = None
        self._adding = False
        controller.layers.edited.connect(lambda *_: self.hide())
        controller.layers.history_moved.connect(lambda *_: self.forget())
        controller.runner.busy.connect(lambda busy: self.hide() if busy else None)
        controller.classes_changed.connect(self.hide)
        controller.viewer.dims.events.current_step.connect(self.hide)

    @property
    def layer(self) -> Labels | None:
        """The overlay, None while there is none."""
        layer = None if self._layer is None else self._layer()
        return layer if layer is not None and layer in self._controller.viewer.layers else None

    def note(self, session: ImageSession, plane: Plane, difference: Difference | None) -> None:
        """Keep what a refinement changed, to be shown when it is asked for."""
        self._last = None if difference is None else (weakref.ref(session), plane, difference)

    def forget(self) -> None:
        """Drop the change: the labels are no longer those compared."""
        self.hide()
        self._last = None

    def toggle(self) -> None:
        """Show or hide the changed pixels."""
        if self.layer is not None:
            self.hide()
            return
        controller = self._controller
        session, plane = controller.session, controller.plane
        last = self._last
        if last is None or session is None or last[0]() is not session or last[1] != plane:
            controller.status.emit("There is no change to show: it is kept after each Refine.")
            return
        self._show(session, last[1], last[2])

    def hide(self, _event: object = None) -> None:
        """Remove the overlay."""
        layer = self.layer
        self._layer = None
        if layer is not None and not self._adding:
            self._controller.viewer.layers.remove(layer)

    def _show(self, session: ImageSession, plane: Plane, difference: Difference) -> None:
        controller, image = self._controller, session.image
        if image is None:
            return
        shape = tuple(n for n, i in zip(level_shape(image), plane.index, strict=True) if i is None)
        pixels = np.zeros(shape, np.uint8)
        patch = difference.pixels
        pixels.ravel()[patch.where] = np.where(patch.after == 0, BECAME_BACKGROUND, patch.after)
        colours, features = colours_and_features(session.classes)
        layer = Labels(
            plane.embed(pixels),
            name=f"{image.name} changes",
            colormap=colours,
            features=features,
            opacity=1.0,
            metadata={"wildseg": "changes"},
            **place_of(image, plane, pixels.shape),
        )
        viewer = controller.viewer
        self._layer = weakref.ref(layer)
        self._adding = True
        try:
            viewer.add_layer(layer)
            layer.editable = False
            controller.layers.activate(session, controller.selected_class)
        finally:
            self._adding = False
        counted = int(np.count_nonzero(pixels))
        controller.status.emit(
            f"{counted:,} changed pixels in the colours of their new classes, grey where they "
            "became background. The next action takes this away."
        )
