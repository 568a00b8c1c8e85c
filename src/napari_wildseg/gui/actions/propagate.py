"""Carrying the labels of a corrected plane to the planes after it or before it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.gui import notices
from napari_wildseg.gui.annotation.decisions import label_values
from napari_wildseg.gui.annotation.session import LABELS, ImageSession
from napari_wildseg.gui.jobs.engine_jobs import Outcome, Request, carry_steps
from napari_wildseg.gui.layers.display import Plane, level_shape, serving_level
from napari_wildseg.gui.layers.label_pair import read_plane

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_wildseg.gui.actions.controller import Controller


@dataclass
class _Walk:
    """A propagation in progress."""

    session: ImageSession
    axis: int
    # Planes that labels are carried from: the corrected one, and the one done before.
    known: list[tuple[Request, NDArray[np.uint8]]]
    todo: list[Plane]
    total: int


class Propagator:
    """Walks from the plane in view along the stack, one run a plane."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def start(self, step: int, *, to_the_end: bool = False) -> None:
        """Carry the labels in view to the next plane, and on."""
        controller = self._controller
        if (ready := controller.ready()) is None:
            return
        session, image, plane = ready
        axis = self._axis(plane)
        if axis is None:
            controller.notify("This image has one plane: there is nothing to carry labels to.")
            return
        if not session.plane_state(plane).segmented or session.layer(LABELS) is None:
            controller.notify(
                "This plane has no labels to carry: press Auto-segment and correct it first."
            )
            return
        unknown = session.unknown_labels(plane)
        if unknown:
            controller.notify(
                f"Label {unknown[0]} was painted but belongs to no class: add a class for it, "
                "or repaint it with a label of the table."
            )
            return
        index, length = plane.index[axis], level_shape(image)[axis]
        assert index is not None
        ends = range(index + step, length if step > 0 else -1, step)
        todo = [
            Plane((*plane.index[:axis], i, *plane.index[axis + 1 :]))
            for i in (ends if to_the_end else ends[:1])
        ]
        if not todo:
            controller.notify("This is the last plane." if step > 0 else "This is the first plane.")
            return
        known = [self._known(session, image, plane)]
        self._next(_Walk(session, axis, known, todo, len(todo)), image)

    def _axis(self, plane: Plane) -> int | None:
        """Return the stack's axis: the last one of which a single place is shown."""
        axes = [axis for axis, index in enumerate(plane.index) if index is not None]
        return axes[-1] if axes else None

    def _known(
        self, session: ImageSession, image: Image, plane: Plane
    ) -> tuple[Request, NDArray[np.uint8]]:
        session.settle()
        layer = session.layer(LABELS)
        assert layer is not None
        labels = np.array(label_values(read_plane(layer, plane)))
        return self._controller.request(session, image, plane), labels

    def _next(self, walk: _Walk, image: Image) -> None:
        plane, number = walk.todo[0], walk.total - len(walk.todo)
        controller, session = self._controller, walk.session
        controller.planes_done = number
        request = controller.request(session, image, plane)
        title = f"Plane {number + 1} of {walk.total}" if walk.total > 1 else "Carry to the plane"
        steps = partial(carry_steps, tuple(walk.known), request, session.snapshots(plane))
        controller.runner.run(title, image, steps, partial(self._on_carried, walk))

    def _on_carried(self, walk: _Walk, outcome: Outcome) -> None:
        after = partial(self._next_step, walk)
        self._controller.show_segmented(walk.session, walk.todo[0], outcome, after)

    def _next_step(self, walk: _Walk) -> None:
        """Go on to the next plane."""
        controller, image = self._controller, walk.session.image
        if image is None or image not in controller.viewer.layers:
            return
        plane = walk.todo.pop(0)
        self._show(image, plane, walk.axis)
        if walk.todo:
            walk.known[1:] = [self._known(walk.session, image, plane)]
            self._next(walk, image)
            return
        controller.planes_done = 0
        message = "Labels carried to [this plane|{n} planes]: correct what is wrong, then carry on."
        controller.status.emit(notices.pluralise(walk.total, message))

    def _show(self, image: Image, plane: Plane, axis: int) -> None:
        """Move the viewer's slider to a plane."""
        index = plane.index[axis]
        assert index is not None
        place = [0.0] * image.ndim
        for own, at in enumerate(plane.index):
            factors = image.downsample_factors[serving_level(image)] if image.multiscale else None
            place[own] = float(at or 0) * (1 if factors is None else float(factors[own]))
        world = image.data_to_world(place)
        dims = self._controller.viewer.dims
        dims.set_point(axis + dims.ndim - image.ndim, float(world[axis]))
