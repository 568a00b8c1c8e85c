"""Updates of the objects after changes: computed on a worker, written as one undo step."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_wildseg.gui import notices
from napari_wildseg.gui.actions.object_requests import (
    class_layer,
    is_unfit,
    labels_of,
    make_request,
    settings_of,
)
from napari_wildseg.gui.annotation.decisions import Patch
from napari_wildseg.gui.annotation.session import ImageSession
from napari_wildseg.gui.jobs.object_jobs import ObjectsRequest, ObjectsResult, objects_steps
from napari_wildseg.gui.jobs.worker_thread import Job, objects_worker
from napari_wildseg.gui.layers.display import Plane
from napari_wildseg.gui.layers.label_pair import read_plane
from napari_wildseg.gui.layers.long_write import LongWrite
from napari_wildseg.gui.layers.object_layer import name_objects

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_wildseg.gui.actions.controller import Controller

SPLIT_OBJECTS = "Split into objects"

PAUSE = 150
"""Milliseconds without a change of the class labels before objects are updated."""


class Update(NamedTuple):
    """The state that an update of a plane starts from."""

    session: ImageSession
    plane: Plane
    request: ObjectsRequest


class ObjectUpdates:
    """Updates the objects of one window, plane by plane."""

    changed = Signal()
    """The objects of the plane in view changed."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._due: dict[tuple[weakref.ref[ImageSession], Plane], None] = {}
        self._job: Job | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._next)
        self.writing = False
        self.in_stroke = False
        """Whether the annotator is painting: nothing is written in the middle of a stroke."""
        self.strokes = 0
        """Strokes of the annotator that do not yet share an undo step with their update."""
        self.cut_stroke = False
        """Whether the last stroke was made with the tool *Cut*."""

    def layer(self, session: ImageSession | None) -> Labels | None:
        """Return the layer of objects of an image, None if it has none in the viewer."""
        layer = None if session is None else session.objects.layer
        return layer if self._controller.layers.is_in_viewer(layer) else None

    @property
    def busy(self) -> bool:
        """Whether objects are being updated."""
        return self._job is not None or self.writing or self._timer.isActive()

    def schedule_update(self, session: ImageSession, plane: Plane, milliseconds: int = 0) -> None:
        """Update a plane, by default in the next turn of the event loop."""
        self._due[weakref.ref(session), plane] = None
        self._timer.start(milliseconds)

    def schedule_compare(self, _event: Any = None) -> None:
        """Compare the objects in view with the class labels after a pause."""
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
        if controller.closed or self._job is not None or self.writing or self.in_stroke:
            return
        if controller.result_writer.writing or controller.runner.is_running(SPLIT_OBJECTS):
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
            update = self.update_of(session, image, plane)
            self._job = Job(partial(objects_steps, update.request))
            self._job.on_result = partial(self._on_updated, update)
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

    def update_of(self, session: ImageSession, image: Image, plane: Plane) -> Update:
        """Return the state that an update of a plane starts from."""
        layers, layer = self._controller.viewer.layers, self.layer(session)
        request = make_request(session, image, plane, layer, layers, cut=self.cut_stroke)
        return Update(session, plane, request)

    def _on_updated(self, update: Update, result: ObjectsResult) -> None:
        session, plane, _ = update
        self._job = None
        if self.layer(session) is None or plane not in session.objects.planes:
            self._next()
            return
        if self.in_stroke or not self.fits(update):
            self.schedule_update(session, plane, PAUSE if self.in_stroke else 0)
            return
        self.write(update, result)

    def fits(self, update: Update) -> bool:
        """Whether ids and strokes are as they were when the update began."""
        session, plane, request = update
        layer, state = self.layer(session), session.objects.planes.get(plane)
        if layer is None or state is None:
            return False
        return state.tracker.is_current(request.snapshot, read_plane(layer, plane))

    def write(self, update: Update, result: ObjectsResult) -> None:
        """Write new ids: with the strokes that caused them they are one undo step."""
        session, plane, request = update
        layer, state = self.layer(session), session.objects.planes[plane]
        assert layer is not None
        self.writing = True
        if result.painted:
            strokes, self.strokes = self.strokes, 0
            for _ in range(strokes):
                layer.undo()
        plan = result.plan
        if plan is None:
            self._written(update, result, None)
            return
        now = read_plane(layer, plane)
        patch = plan.step.pixels if plan.step is not None else Patch.between(now, plan.baseline)
        if not np.array_equal(now, state.tracker.baseline):
            patch = Patch.between(np.array(now), plan.baseline)
        state.accept(plan, request.labels)
        done = partial(self._written, update, result)
        LongWrite(layer, plane, patch, done).start()

    def _written(self, update: Update, result: ObjectsResult, error: Exception | None) -> None:
        self.writing = False
        if error is not None:
            state = update.session.objects.planes[update.plane]
            if result.plan is not None:
                state.tracker.reject(result.plan)
            self._failed(error)
            return
        self.note(update, result)
        self.report(update, result)
        self.cut_stroke = False
        self._next()

    def note(self, update: Update, result: ObjectsResult) -> None:
        """Note what the objects are fitted to, and their classes and areas."""
        session, plane, request = update
        state = session.objects.planes[plane]
        state.note_fit(request.labels, (request.things, request.min_size))
        state.image, state.measured = result.image, state.tracker.baseline
        state.class_of, state.area = result.class_of, result.area
        layer = session.objects.layer
        if layer is not None:
            self.name_ids(session, layer)
        if result.painted:
            self._controller.autosave.note(session, plane)
            self._controller.autosave.write()
        self.changed.emit()

    def report(self, update: Update, result: ObjectsResult) -> None:
        """Report the number of objects and the next step."""
        count = notices.pluralise(len(result.area), "{n} [object|objects].")
        controller = self._controller
        if result.painted and result.plan is None:
            controller.status.emit(
                "The cut ends inside an object, so nothing was divided: draw it from edge to edge."
            )
        elif result.painted:
            controller.status.emit(f"{count} Ctrl+Z takes the stroke back.")
        elif update.request.before is None:
            controller.status.emit(
                f"{count} Paint with an id to merge, with a new one (M) to draw; Cut divides."
            )

    def _failed(self, error: BaseException) -> None:
        self._job = None
        self._controller.notify(notices.sentence(error, SPLIT_OBJECTS))

    def name_ids(self, session: ImageSession, layer: Labels) -> None:
        """Show class and area of the object under the pointer in the status bar."""
        was, self.writing = self.writing, True
        try:
            name_objects(layer, session.objects, session.classes)
        finally:
            self.writing = was

    def shut_down(self) -> None:
        """Stop all updates."""
        self._timer.stop()
        if self._job is not None:
            self._job.cancel()
            self._job = None
