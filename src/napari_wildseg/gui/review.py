"""Shows the images of a finished batch one after the other, and writes the corrections."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui import export
from napari_wildseg.gui.annotation.decisions import from_corrections
from napari_wildseg.gui.annotation.session import LABELS
from napari_wildseg.gui.notices import pluralise

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari.layers import Image

    from napari_wildseg.batch import ReviewItem, ReviewQueue
    from napari_wildseg.engine.progress import Steps
    from napari_wildseg.gui.actions.controller import Controller
    from napari_wildseg.gui.annotation.tracked_layer import TrackedLayer
    from napari_wildseg.io import LabelImage

WHAT_TO_DO = "Paint what is wrong, Refine if need be, then Next: it is written for you."


class Reviewer:
    """Steps through a review queue in a viewer.

    Leaving an image takes it as reviewed; if anything was painted, it is first written into the
    data set.
    """

    moved = Signal()
    """Another image is shown, or none any more."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.queue: ReviewQueue | None = None
        self.item: ReviewItem | None = None
        self.place = 0
        self._image: Image | None = None

    @property
    def about(self) -> str:
        """Where the annotator is, in words."""
        if self.queue is None or self.item is None:
            return ""
        record = self.item.record
        doubt = record.uncertainty.get("score", 0.0)
        return (
            f"{self.place + 1} of {len(self.queue.records)}, "
            f"{len(self.queue.reviewed)} reviewed\nuncertainty {doubt:.2f}"
        )

    def open(self, folder: str) -> None:
        """Open a finished batch at its first image that was not looked at."""
        self.controller.runner.run("Review", None, partial(_open, folder), self._opened)

    @property
    def unsaved(self) -> bool:
        """Whether the image in view was changed since it was read or written."""
        return self._changed() is not None

    def reopen(self) -> None:
        """Open the batch again after an update; what was painted meanwhile is written first."""
        queue, item = self.queue, self.item
        if queue is not None and item is not None:
            steps = partial(_open, queue.folder, item, self._changed())
            self.controller.runner.run("Review", None, steps, self._reopened)

    def step(self, by: int) -> None:
        """Save the image and go to another."""
        queue, item = self.queue, self.item
        if queue is None or item is None:
            return
        place = self.place + by
        last = len(queue.records) - 1
        session = self.controller.sessions.get(self._image)
        edits = {} if session is None else session.edits()
        changed = self._changed()
        self.controller.memory.finish(self.controller.sessions.get(self._image))
        steps = partial(_save_steps, queue, item, changed, min(max(place, 0), last), by or 1)
        if place > last:
            message = "That was the last image of the batch."
        elif place < 0:
            message = "This is the most uncertain image of the batch."
        else:
            message = WHAT_TO_DO if by else ""
        name = item.record.name
        if changed is not None:
            message = f"{name} is written into the data set. {message}".strip()
        elif not by:
            message = f"Nothing of {name} was changed; it counts as reviewed."
        take = partial(self._on_saved, by, edits, changed or item.labels, message)
        self.controller.runner.run("Review", None, steps, take)

    # ------------------------------------------------------------------ internal

    def _reopened(self, found: tuple[ReviewQueue, tuple[int, ReviewItem, str]]) -> None:
        self.item = None  # its labels may be other ones now
        self._opened(found)

    def _opened(self, found: tuple[ReviewQueue, tuple[int, ReviewItem, str]]) -> None:
        self.queue, opened = found
        settings = self.queue.report.settings
        self.controller.model = str(settings.get("model", self.controller.model))
        message, failed = WHAT_TO_DO, len(self.queue.report.failed)
        if failed:
            report = pluralise(failed, "{n} [image|images] failed: see report.csv.")
            message = f"{report} {message}"
        self._moved(message, opened)

    def _on_saved(
        self,
        by: int,
        edits: Mapping[TrackedLayer, int],
        written: LabelImage,
        message: str,
        found: tuple[int, ReviewItem, str],
    ) -> None:
        """Go on to the next image; what was painted while this one was written is written first."""
        controller = self.controller
        session = controller.sessions.get(self._image)
        if session is not None and self._image in controller.viewer.layers:
            if by and session.edits() != edits:
                self.step(by)
                return
            session.note_saved(edits)
            for plane in list(session.planes):
                controller.autosave.exported(session, plane, lambda: written.corrections)
            controller.autosave.write()
        self._moved(message, found)

    def _moved(self, message: str, found: tuple[int, ReviewItem, str]) -> None:
        place, item, left_out = found
        there = self._image is not None and self._image in self.controller.viewer.layers
        same = self.item is not None and self.item.record.name == item.record.name
        self.place, self.item = place, item
        if not (same and there):
            self._show(item)
        self.moved.emit()
        self.controller.status.emit(f"{left_out} {message}".strip())

    def _show(self, item: ReviewItem) -> None:
        controller = self.controller
        viewer, old = controller.viewer, self._image
        image = viewer.add_image(item.rgb, name=item.record.name, rgb=True)
        self._image = image
        controller.choose_image(image)
        controller.image_chosen.emit()
        session = controller.session
        assert session is not None
        controller.set_classes(item.labels.classes)
        session.offered = self.queue.classes if self.queue is not None else ()
        plane = controller.plane
        assert plane is not None
        corrections = item.labels.corrections
        state = session.plane_state(plane)
        state.segmented, state.model = True, controller.model
        state.settings = dict(item.labels.settings)
        tracked = controller.layers.tracked(session, image, LABELS)
        tracked.fill(plane, item.labels.labels)
        if corrections is not None:
            tracked.tracker(plane).restore(from_corrections(corrections))
        layer = tracked.layer
        assert layer is not None
        layer.refresh()
        controller.layers.activate(session, controller.selected_class)
        if old is not None:
            gone = controller.sessions.get(old)
            for one in [*(gone.all_layers() if gone is not None else ()), old]:
                if one in viewer.layers:
                    viewer.layers.remove(one)
        viewer.reset_view()
        controller.areas_changed.emit()

    def _changed(self) -> LabelImage | None:
        """Return the labels in view if they differ from those in the data set."""
        controller, item = self.controller, self.item
        session = controller.sessions.get(self._image)
        if item is None or session is None or self._image not in controller.viewer.layers:
            return None
        if session.layer(LABELS) is None or not session.planes:
            return None
        plane = next(iter(session.planes))
        controller.adopt(session, session.unknown_labels(plane))
        shown = export.label_image(session, plane)
        before = item.labels
        same = np.array_equal(shown.labels, before.labels) and _same_corrections(shown, before)
        return None if same else shown


def _same_corrections(one: LabelImage, other: LabelImage) -> bool:
    if one.corrections is None or other.corrections is None:
        return one.corrections is other.corrections
    return bool(np.array_equal(one.corrections, other.corrections))


def _open(
    folder: str | Path, item: ReviewItem | None = None, changed: LabelImage | None = None
) -> Steps[tuple[ReviewQueue, tuple[int, ReviewItem, str]]]:
    """Open a batch; what was changed in an image meanwhile is written first."""
    yield Progress(0, 1, "Opening the batch")
    from napari_wildseg.batch.review_queue import ReviewQueue
    from napari_wildseg.engine.errors import InputError

    queue = ReviewQueue(folder)
    if not queue.records:
        raise InputError("No image of this batch was done: see its report for the reasons.")
    if item is not None and changed is not None:
        record = next(r for r in queue.records if r.name == item.record.name)
        queue.save(replace(item, record=record), changed)
        queue.publish()
    return queue, _open_readable(queue, queue.first_left(), 1)


def _open_readable(queue: ReviewQueue, place: int, by: int) -> tuple[int, ReviewItem, str]:
    """Open an image, or the next one that can be opened; say in words which were left out."""
    from napari_wildseg.engine.errors import InputError

    places = range(place, len(queue.records) if by > 0 else -1, by)
    wrong: list[tuple[str, InputError]] = []
    for there in places:
        try:
            item = queue.open(there)
        except InputError as error:
            wrong.append((queue.records[there].name, error))
            continue
        if not wrong:
            return there, item, ""
        names = ", ".join(name for name, _ in wrong[:3]) + (", ..." if len(wrong) > 3 else "")
        return there, item, f"{names} left out: {wrong[0][1]}"
    raise wrong[0][1]


def _save_steps(
    queue: ReviewQueue, item: ReviewItem, changed: LabelImage | None, place: int, by: int
) -> Steps[tuple[int, ReviewItem, str]]:
    """Write what was changed; the next image is read before anything is said to be done."""
    yield Progress(0, 2, "Writing the labels")
    if changed is not None:
        queue.save(item, changed)
        queue.publish()
    queue.mark(item.record.name)
    yield Progress(1, 2, "Reading the next image")
    return _open_readable(queue, place, by)
