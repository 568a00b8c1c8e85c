"""Split into objects, strokes in the layer of objects, and keeping it in step with the labels."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.instances import UNTOUCHED
from napari_wildseg.gui import notices
from napari_wildseg.gui.actions.cut_tool import CutTool
from napari_wildseg.gui.actions.object_requests import (
    class_layer,
    is_unfit,
    labels_of,
    make_request,
    settings_of,
)
from napari_wildseg.gui.annotation.decisions import Patch
from napari_wildseg.gui.annotation.image_objects import ObjectPlane
from napari_wildseg.gui.annotation.session import ImageSession
from napari_wildseg.gui.jobs.object_jobs import ObjectsRequest, ObjectsResult, objects_steps
from napari_wildseg.gui.jobs.worker_thread import Job, objects_worker
from napari_wildseg.gui.layers.display import Plane, current_plane
from napari_wildseg.gui.layers.label_pair import align, read_plane
from napari_wildseg.gui.layers.layer_events import PLACE_EVENTS, Callbacks, forget, listen
from napari_wildseg.gui.layers.long_write import LongWrite
from napari_wildseg.gui.layers.object_layer import make_objects, name_objects
from napari_wildseg.gui.layers.selecting import add_beside, bring_into_view, select

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wildseg.gui.actions.controller import Controller

SPLIT_OBJECTS = "Split into objects"

MAX_PLANE_PIXELS = 4096 * 4096
"""Pixels of a plane that is split in the window."""

PAUSE = 150
"""Milliseconds that the class labels rest before the objects follow them."""


class WindowObjects:
    """The objects of the images of one window."""

    changed = Signal()
    """Objects of the plane in view, or whether there are any, are others now."""
    picked = Signal(int)
    """The annotator chose an object in the layer."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._due: dict[tuple[weakref.ref[ImageSession], Plane], None] = {}
        self._job: Job | None = None
        self._writing = False
        self._in_stroke = False
        self._strokes = 0  # of the annotator's, that what they cause has still to join
        self.cut = CutTool(controller)
        self._cut_stroke = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._next)
        controller.areas_changed.connect(self._look)
        controller.classes_changed.connect(self._on_classes)
        controller.viewer.layers.events.removed.connect(self._on_removed)
        controller.viewer.dims.events.current_step.connect(self._look)
        for session in controller.sessions:
            if (layer := session.objects.layer) is not None:
                if controller.layers.there(layer):
                    self._listen(session, layer)
                else:
                    session.objects.show_in(None)

    # ------------------------------------------------------------------ asking

    def layer(self, session: ImageSession | None) -> Labels | None:
        """Return the layer of objects of an image, None if it has none in the viewer."""
        layer = None if session is None else session.objects.layer
        return layer if self._controller.layers.there(layer) else None

    def state(self) -> ObjectPlane | None:
        """Return the objects of the plane in view, None if it was not split."""
        session, plane = self._controller.session, self._controller.plane
        if session is None or plane is None or self.layer(session) is None:
            return None
        state = session.objects.planes.get(plane)
        return state if state is not None and state.seen is not None else None

    @property
    def busy(self) -> bool:
        """Whether objects are being brought up to date."""
        return self._job is not None or self._writing or self._timer.isActive()

    def split(self) -> None:
        """Split the classes of the plane in view into objects, and show them as a layer."""
        controller = self._controller
        session, image, plane = controller.session, controller.image, controller.plane
        if session is not None and class_layer(session) is None:
            try:
                controller.opened.take()  # a mask that was opened
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
            session.objects.show_in(None)
        session.objects.plane(plane, read_plane(labels, plane).shape).ask_anew()
        request = self._request(session, image, plane)
        take = partial(self._take_split, session, plane, request)
        controller.runner.run(SPLIT_OBJECTS, image, partial(objects_steps, request), take)

    def set_whole(self, class_id: int, whole: bool) -> None:
        """Choose whether a class is one object, such as sky, or is split."""
        if (session := self._controller.session) is not None:
            objects = session.objects
            objects.whole = objects.whole | {class_id} if whole else objects.whole - {class_id}
            self._look()

    def set_min_size(self, pixels: int) -> None:
        """Choose the size below which objects are dropped."""
        if (session := self._controller.session) is not None:
            session.objects.min_size = pixels
            self._look()

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
        self._look()

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

    def put_back(
        self,
        session: ImageSession,
        ids: NDArray[np.int32] | None,
        strokes: NDArray[np.int32] | None,
    ) -> None:
        """Bring back the objects and corrections of a project."""
        image, labels = session.image, class_layer(session)
        session.objects.planes.clear()
        if (layer := self.layer(session)) is not None:
            self._controller.viewer.layers.remove(layer)
        if image is None or labels is None:
            return
        session.objects.show_in(None)
        planes = [
            plane
            for plane in session.touched()
            if (ids is not None and ids[plane.slices].any())
            or (strokes is not None and (strokes[plane.slices] != UNTOUCHED).any())
        ]
        if ids is not None and ids.any():
            layer = make_objects(image, session)
            layer.data[...] = ids
            session.objects.show_in(layer)
        for plane in planes:
            state = session.objects.plane(plane, read_plane(labels, plane).shape)
            if strokes is not None:
                state.restore(np.array(strokes[plane.slices]))
            if ids is not None:
                state.tracker.baseline = np.array(ids[plane.slices])
                state.fitted(np.array(labels_of(session, plane)), settings_of(session))
            self._controller.autosave.note(session, plane)
        if layer is not None and session.objects.layer is layer:
            add_beside(self._controller.viewer, layer)
            self._listen(session, layer)
            self._look()

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

    def _on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """Note that a stroke is under way: nothing is written in the middle of it."""
        self._in_stroke = True
        try:
            yield
            while event.type == "mouse_move":
                yield
        finally:
            self._in_stroke = False
            self._look()

    def _on_paint(self, event: Any) -> None:
        session = self._owner(event.source)
        if session is None or self._writing:
            return
        deep = event.source.n_edit_dimensions > 2
        touched = set(session.objects.planes) if deep else {self._plane_of(session)}
        touched &= set(session.objects.planes)
        if not touched:
            return  # a plane that was not split yet: its split will find what was painted
        self._strokes += 1
        self._cut_stroke = self.cut.active
        for plane in touched:
            if plane is not None:
                session.objects.planes[plane].tracker.painted()
                self._due[weakref.ref(session), plane] = None
        # napari tells of a stroke before the pixels change.
        self._timer.start(0)

    def _on_refresh(self, event: Any) -> None:
        """Follow undo and redo: napari has no event of them, it only refreshes the layer."""
        layer = event.source
        session = self._owner(layer)
        if session is None or self._writing:
            return
        for plane, state in session.objects.planes.items():
            data = read_plane(layer, plane)
            if self._strokes and np.array_equal(data, state.tracker.baseline):
                self._strokes = 0  # they were undone before they were worked out
            if state.tracker.follow_history(data):
                self._controller.autosave.note(session, plane)
                self._due[weakref.ref(session), plane] = None
                self._timer.start(0)
        self._look()

    def _on_selected(self, event: Any) -> None:
        self.picked.emit(int(event.source.selected_label))

    def _on_mode(self, event: Any) -> None:
        self.cut.mode_is(str(event.source.mode))

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
            session.objects.show_in(None)
            self.cut.put_down()
            if corrected:
                self._controller.status.emit(
                    "The corrections of the objects are kept: Split into objects obeys them."
                )
            self.changed.emit()

    def _on_classes(self) -> None:
        """Names may have changed."""
        session = self._controller.session
        if session is not None and (layer := self.layer(session)) is not None:
            self._dress(session, layer)
        self.cut.keep_to(self.layer(session))
        self.changed.emit()

    def _dress(self, session: ImageSession, layer: Labels) -> None:
        was, self._writing = self._writing, True
        try:
            name_objects(layer, session.objects, session.classes)
        finally:
            self._writing = was

    # ------------------------------------------------------------------ keeping in step

    def _plane_of(self, session: ImageSession) -> Plane | None:
        image, dims = session.image, self._controller.viewer.dims
        return None if image is None else current_plane(image, dims.point, dims.order)

    def _look(self, _event: Any = None) -> None:
        """Have the objects in view compared with the class labels, once those rest."""
        session, plane = self._controller.session, self._controller.plane
        if session is None or plane is None or self.layer(session) is None:
            return
        if plane in session.objects.planes:
            self._due[weakref.ref(session), plane] = None
        if not self._timer.isActive():
            self._timer.start(PAUSE)

    def _next(self) -> None:
        """Start the next update that is due, unless something is under way."""
        controller = self._controller
        if controller.closed or self._job is not None or self._writing or self._in_stroke:
            return
        if controller.takeover.writing or controller.runner.is_running(SPLIT_OBJECTS):
            self._timer.start(PAUSE)
            return
        while self._due:
            (reference, plane), _ = self._due.popitem()
            session = reference()
            layer = self.layer(session)
            image = None if session is None else session.image
            if session is None or layer is None or image is None:
                continue
            state = session.objects.planes.get(plane)
            if state is None or class_layer(session) is None or not self._stale(session, plane):
                continue
            request = self._request(session, image, plane)
            self._job = Job(partial(objects_steps, request))
            self._job.on_result = partial(self._take, session, plane, request)
            self._job.on_error = self._failed
            objects_worker().submit(self._job)
            return
        self.changed.emit()

    def _stale(self, session: ImageSession, plane: Plane) -> bool:
        """Whether ids, class labels or settings are others than at the last update."""
        state, layer = session.objects.planes[plane], self.layer(session)
        if layer is None:
            return False
        return (
            state.measured is not state.tracker.baseline
            or is_unfit(state, labels_of(session, plane), settings_of(session))
            or not np.array_equal(read_plane(layer, plane), state.tracker.baseline)
        )

    def _request(self, session: ImageSession, image: Image, plane: Plane) -> ObjectsRequest:
        layers = self._controller.viewer.layers
        cut = self._cut_stroke
        return make_request(session, image, plane, self.layer(session), layers, cut=cut)

    def _take_split(
        self, session: ImageSession, plane: Plane, request: ObjectsRequest, result: ObjectsResult
    ) -> None:
        """Show the first split of a plane, making the layer if there is none."""
        image = session.image
        if image is None or not self._controller.layers.there(image):
            return
        layer = self.layer(session)
        if layer is None:
            layer = make_objects(image, session)
            strokes = session.objects.planes[plane].tracker.kept
            session.objects.show_in(layer)
            state = session.objects.plane(plane, strokes.shape)
            if result.plan is not None:
                # Before napari draws it: there is nothing to go back to.
                layer.data[plane.slices] = result.plan.baseline
                state.tracker.baseline = result.plan.baseline
            self._note(session, plane, request, result)
            add_beside(self._controller.viewer, layer)
            self._listen(session, layer)
        elif self._in_stroke or not self._fits(session, plane, request):
            self._look()
            return
        elif result.plan is not None and result.plan.step is not None:
            self._write(session, plane, request, result)
            return
        else:
            self._note(session, plane, request, result)
        self.changed.emit()
        self._told(session, plane, request, result)

    def _take(
        self, session: ImageSession, plane: Plane, request: ObjectsRequest, result: ObjectsResult
    ) -> None:
        self._job = None
        if self.layer(session) is None or plane not in session.objects.planes:
            self._next()
            return
        if self._in_stroke or not self._fits(session, plane, request):
            self._due[weakref.ref(session), plane] = None
            self._timer.start(0 if not self._in_stroke else PAUSE)
            return
        self._write(session, plane, request, result)

    def _fits(self, session: ImageSession, plane: Plane, request: ObjectsRequest) -> bool:
        """Whether ids and strokes still stand as they did."""
        layer, state = self.layer(session), session.objects.planes.get(plane)
        if layer is None or state is None:
            return False
        return state.tracker.is_current(request.snapshot, read_plane(layer, plane))

    def _write(
        self, session: ImageSession, plane: Plane, request: ObjectsRequest, result: ObjectsResult
    ) -> None:
        """Write new ids: with the strokes that caused them they are one undo step."""
        layer, state = self.layer(session), session.objects.planes[plane]
        assert layer is not None
        self._writing = True
        if result.painted:
            strokes, self._strokes = self._strokes, 0
            for _ in range(strokes):
                layer.undo()
        plan = result.plan
        if plan is None:
            self._written(session, plane, request, result, None)
            return
        now = read_plane(layer, plane)
        patch = plan.step.pixels if plan.step is not None else Patch.between(now, plan.baseline)
        if not np.array_equal(now, state.tracker.baseline):
            patch = Patch.between(np.array(now), plan.baseline)
        state.accept(plan, request.labels)
        done = partial(self._written, session, plane, request, result)
        LongWrite(layer, plane, patch, done).start()

    def _written(
        self,
        session: ImageSession,
        plane: Plane,
        request: ObjectsRequest,
        result: ObjectsResult,
        error: Exception | None,
    ) -> None:
        self._writing = False
        if error is not None:
            state = session.objects.planes[plane]
            if result.plan is not None:
                state.tracker.reject(result.plan)
            self._failed(error)
            return
        self._note(session, plane, request, result)
        self._told(session, plane, request, result)
        self._cut_stroke = False
        self._next()

    def _note(
        self, session: ImageSession, plane: Plane, request: ObjectsRequest, result: ObjectsResult
    ) -> None:
        """Note what the objects are fitted to, and their classes and areas."""
        state = session.objects.planes[plane]
        state.fitted(request.labels, (request.things, request.min_size))
        state.image, state.measured = result.image, state.tracker.baseline
        state.class_of, state.area = result.class_of, result.area
        layer = session.objects.layer
        if layer is not None:
            self._dress(session, layer)
        if result.painted:
            self._controller.autosave.note(session, plane)
            self._controller.autosave.write()
        self.changed.emit()

    def _told(
        self, session: ImageSession, plane: Plane, request: ObjectsRequest, result: ObjectsResult
    ) -> None:
        count = notices.by_number(len(result.area), "{n} [object|objects].")
        controller = self._controller
        if result.painted and result.plan is None:
            controller.status.emit(
                "The cut ends inside an object, so nothing was divided: draw it from edge to edge."
            )
        elif result.painted:
            controller.status.emit(f"{count} Ctrl+Z takes the stroke back.")
        elif request.before is None:
            controller.status.emit(
                f"{count} Paint with an id to merge, with a new one (M) to draw; Cut divides."
            )

    def _failed(self, error: BaseException) -> None:
        self._job = None
        self._controller.notify(notices.sentence(error, SPLIT_OBJECTS))

    def shut_down(self) -> None:
        """Let go of the layers."""
        self._timer.stop()
        if self._job is not None:
            self._job.cancel()
            self._job = None
        self._controller.viewer.layers.events.removed.disconnect(self._on_removed)
        self._controller.viewer.dims.events.current_step.disconnect(self._look)
        for session in self._controller.sessions:
            if (layer := session.objects.layer) is not None:
                self._forget(session, layer)
