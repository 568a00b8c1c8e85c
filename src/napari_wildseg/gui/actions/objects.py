"""Split into objects, strokes in the layer of objects, and keeping it in step with the labels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from psygnal import Signal

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.instances import UNTOUCHED
from napari_wildseg.gui.actions.cut_tool import CutTool
from napari_wildseg.gui.actions.object_requests import class_layer, labels_of, settings_of
from napari_wildseg.gui.actions.object_updates import SPLIT_OBJECTS, ObjectUpdates, Update
from napari_wildseg.gui.annotation.image_objects import ObjectPlane
from napari_wildseg.gui.annotation.session import ImageSession
from napari_wildseg.gui.jobs.object_jobs import ObjectsResult, objects_steps
from napari_wildseg.gui.layers.display import Plane, current_plane
from napari_wildseg.gui.layers.label_pair import align, read_plane
from napari_wildseg.gui.layers.layer_events import PLACE_EVENTS, Callbacks, forget, listen
from napari_wildseg.gui.layers.object_layer import make_objects
from napari_wildseg.gui.layers.selecting import add_beside, bring_into_view, select

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wildseg.gui.actions.controller import Controller


MAX_PLANE_PIXELS = 4096 * 4096
"""Pixels of a plane that is split in the window."""


class WindowObjects:
    """The objects of the images of one window."""

    changed = Signal()
    """The objects of the plane in view changed."""
    picked = Signal(int)
    """The annotator chose an object in the layer."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._updates = ObjectUpdates(controller)
        self._updates.changed.connect(self.changed.emit)
        self.cut = CutTool(controller)
        controller.areas_changed.connect(self._updates.schedule_compare)
        controller.classes_changed.connect(self._on_classes)
        controller.viewer.layers.events.removed.connect(self._on_removed)
        controller.viewer.dims.events.current_step.connect(self._updates.schedule_compare)
        for session in controller.sessions:
            if (layer := session.objects.layer) is not None:
                if controller.layers.is_in_viewer(layer):
                    self._listen(session, layer)
                else:
                    session.objects.set_layer(None)

    # ------------------------------------------------------------------ requests

    def layer(self, session: ImageSession | None) -> Labels | None:
        """Return the layer of objects of an image, None if it has none in the viewer."""
        return self._updates.layer(session)

    @property
    def busy(self) -> bool:
        """Whether objects are being updated."""
        return self._updates.busy

    def state(self) -> ObjectPlane | None:
        """Return the objects of the plane in view, None if it was not split."""
        session, plane = self._controller.session, self._controller.plane
        if session is None or plane is None or self.layer(session) is None:
            return None
        state = session.objects.planes.get(plane)
        return state if state is not None and state.seen is not None else None

    def split(self) -> None:
        """Split the classes of the plane in view into objects, and show them as a layer."""
        controller = self._controller
        session, image, plane = controller.session, controller.image, controller.plane
        if session is not None and class_layer(session) is None:
            try:
                controller.opened.set_prior()  # a mask that was opened
            except WildsegError as error:
                controller.notify(str(error))
                return
        labels = None if session is None else class_layer(session)
        if session is None or image is None or plane is None or labels is None:
            controller.notify("There is nothing to split yet: press Auto-segment first.")
            return
        if not controller.runner.is_free_for(SPLIT_OBJECTS):
            controller.notify("Wait for the run to end, or cancel it first.")
            return
        if (pixels := read_plane(labels, plane).size) > MAX_PLANE_PIXELS:
            controller.notify(
                f"This plane has {pixels:,} pixels, and objects are made of up to "
                f"{MAX_PLANE_PIXELS:,}: crop the image, or choose a coarser level of it."
            )
            return
        if self.layer(session) is None and session.objects.layer is not None:
            session.objects.set_layer(None)
        session.objects.plane(plane, read_plane(labels, plane).shape).invalidate()
        update = self._updates.update_of(session, image, plane)
        steps = partial(objects_steps, update.request)
        controller.runner.run(SPLIT_OBJECTS, image, steps, partial(self._on_split, update))

    def _on_split(self, update: Update, result: ObjectsResult) -> None:
        """Show the first split of a plane, making the layer if there is none."""
        session, plane, _ = update
        image = session.image
        if image is None or not self._controller.layers.is_in_viewer(image):
            return
        layer = self.layer(session)
        if layer is None:
            layer = make_objects(image, session)
            strokes = session.objects.planes[plane].tracker.kept
            session.objects.set_layer(layer)
            state = session.objects.plane(plane, strokes.shape)
            if result.plan is not None:
                # Before napari draws it, so that no undo step is needed.
                layer.data[plane.slices] = result.plan.baseline
                state.tracker.baseline = result.plan.baseline
            self._updates.note(update, result)
            add_beside(self._controller.viewer, layer)
            self._listen(session, layer)
        elif self._updates.in_stroke or not self._updates.fits(update):
            self._updates.schedule_compare()
            return
        elif result.plan is not None and result.plan.step is not None:
            self._updates.write(update, result)
            return
        else:
            self._updates.note(update, result)
        self.changed.emit()
        self._updates.report(update, result)

    def set_whole(self, class_id: int, whole: bool) -> None:
        """Choose whether a class is one object, such as sky, or is split."""
        if (session := self._controller.session) is not None:
            objects = session.objects
            objects.whole = objects.whole | {class_id} if whole else objects.whole - {class_id}
            self._updates.schedule_compare()

    def set_min_size(self, pixels: int) -> None:
        """Choose the size below which objects are dropped."""
        if (session := self._controller.session) is not None:
            session.objects.min_size = pixels
            self._updates.schedule_compare()

    def release(self) -> None:
        """Drop the corrections of objects in view; the next split decides."""
        session, plane = self._controller.session, self._controller.plane
        state = None if session is None or plane is None else session.objects.planes.get(plane)
        if session is None or plane is None or state is None or state.strokes is None:
            self._controller.status.emit("There are no corrections of objects in view.")
            return
        state.release()
        self._controller.autosave.note(session, plane)
        self._controller.status.emit("Corrections of objects released.")
        self._updates.schedule_compare()

    def show(self, number: int) -> None:
        """Select an object and bring it to the middle of the view."""
        session, plane = self._controller.session, self._controller.plane
        layer = self.layer(session)
        if layer is None or plane is None:
            return
        rows, columns = np.nonzero(read_plane(layer, plane) == number)
        if not rows.size:
            return
        viewer = self._controller.viewer
        select(viewer, layer)
        layer.selected_label = number
        if viewer.dims.ndisplay != 2:
            return
        corners = (np.array([axis.min(), axis.max()]) for axis in (rows, columns))
        first, last = np.stack(plane.expand(*corners), axis=1).astype(float).tolist()
        bring_into_view(viewer, layer, first, last)

    def restore(
        self,
        session: ImageSession,
        ids: NDArray[np.int32] | None,
        strokes: NDArray[np.int32] | None,
    ) -> None:
        """Restore the objects and corrections of a project."""
        image, labels = session.image, class_layer(session)
        session.objects.planes.clear()
        if (layer := self.layer(session)) is not None:
            self._controller.viewer.layers.remove(layer)
        if image is None or labels is None:
            return
        session.objects.set_layer(None)
        planes = [
            plane
            for plane in session.touched()
            if (ids is not None and ids[plane.slices].any())
            or (strokes is not None and (strokes[plane.slices] != UNTOUCHED).any())
        ]
        if ids is not None and ids.any():
            layer = make_objects(image, session)
            layer.data[...] = ids
            session.objects.set_layer(layer)
        for plane in planes:
            state = session.objects.plane(plane, read_plane(labels, plane).shape)
            if strokes is not None:
                state.restore(np.array(strokes[plane.slices]))
            if ids is not None:
                state.tracker.baseline = np.array(ids[plane.slices])
                state.note_fit(np.array(labels_of(session, plane)), settings_of(session))
            self._controller.autosave.note(session, plane)
        if layer is not None and session.objects.layer is layer:
            add_beside(self._controller.viewer, layer)
            self._listen(session, layer)
            self._updates.schedule_compare()

    # ------------------------------------------------------------------ the layer

    def _listen(self, session: ImageSession, layer: Labels) -> None:
        listen(layer, self._callbacks(), self._on_drag)
        if session.image is not None:
            listen(session.image, dict.fromkeys(PLACE_EVENTS, self._on_image_moved))

    def _forget(self, session: ImageSession, layer: Labels) -> None:
        forget(layer, self._callbacks(), self._on_drag)
        if session.image is not None:
            forget(session.image, dict.fromkeys(PLACE_EVENTS, self._on_image_moved))

    def _callbacks(self) -> Callbacks:
        return {
            "paint": self._on_paint,
            "set_data": self._on_refresh,
            "selected_label": self._on_selected,
            "mode": self._on_mode,
        }

    def _owner(self, layer: Any) -> ImageSession | None:
        return next((s for s in self._controller.sessions if s.objects.layer is layer), None)

    def _plane_of(self, session: ImageSession) -> Plane | None:
        image, dims = session.image, self._controller.viewer.dims
        return None if image is None else current_plane(image, dims.point, dims.order)

    def _on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """Note that a stroke is under way: nothing is written in the middle of it."""
        self._updates.in_stroke = True
        try:
            yield
            while event.type == "mouse_move":
                yield
        finally:
            self._updates.in_stroke = False
            self._updates.schedule_compare()

    def _on_paint(self, event: Any) -> None:
        session = self._owner(event.source)
        if session is None or self._updates.writing:
            return
        deep = event.source.n_edit_dimensions > 2
        touched = set(session.objects.planes) if deep else {self._plane_of(session)}
        touched &= set(session.objects.planes)
        if not touched:
            return  # a plane that was not split yet: its split will find what was painted
        self._updates.strokes += 1
        self._updates.cut_stroke = self.cut.active
        for plane in touched:
            if plane is not None:
                session.objects.planes[plane].tracker.painted()
                # In the next turn: napari reports a stroke before the pixels change.
                self._updates.schedule_update(session, plane)

    def _on_refresh(self, event: Any) -> None:
        """Follow undo and redo: napari has no event of them, it only refreshes the layer."""
        layer = event.source
        session = self._owner(layer)
        if session is None or self._updates.writing:
            return
        for plane, state in session.objects.planes.items():
            data = read_plane(layer, plane)
            if self._updates.strokes and np.array_equal(data, state.tracker.baseline):
                self._updates.strokes = 0  # undone before the update
            if state.tracker.follow_history(data):
                self._controller.autosave.note(session, plane)
                self._updates.schedule_update(session, plane)
        self._updates.schedule_compare()

    def _on_selected(self, event: Any) -> None:
        self.picked.emit(int(event.source.selected_label))

    def _on_mode(self, event: Any) -> None:
        self.cut.on_mode_changed(str(event.source.mode))

    def _on_image_moved(self, event: Any) -> None:
        session = self._controller.sessions.get(event.source)
        layer = None if session is None else session.objects.layer
        if layer is not None:
            align(layer, event.source)

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        session = self._owner(layer) if isinstance(layer, Labels) else None
        if session is not None:
            self._forget(session, layer)
            corrected = bool(session.objects.corrected)
            session.objects.set_layer(None)
            self.cut.deactivate()
            if corrected:
                self._controller.status.emit(
                    "The corrections of the objects are kept: Split into objects obeys them."
                )
            self.changed.emit()

    def _on_classes(self) -> None:
        """Names may have changed."""
        session = self._controller.session
        if session is not None and (layer := self.layer(session)) is not None:
            self._updates.name_ids(session, layer)
        self.cut.on_layer_changed(self.layer(session))
        self.changed.emit()

    def shut_down(self) -> None:
        """Disconnect from the layers."""
        self._updates.shut_down()
        self._controller.viewer.layers.events.removed.disconnect(self._on_removed)
        self._controller.viewer.dims.events.current_step.disconnect(self._updates.schedule_compare)
        for session in self._controller.sessions:
            if (layer := session.objects.layer) is not None:
                self._forget(session, layer)
