"""Runs: Auto-segment, Refine, the threshold, suggestions; one job at a time."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from napari import Viewer
from napari.layers import Image, Labels
from psygnal import Signal

from napari_wildseg.engine.errors import NotDownloadedError, WildsegError
from napari_wildseg.engine.limits import Limits
from napari_wildseg.gui import notices
from napari_wildseg.gui.actions.auto_switch import AutoNames
from napari_wildseg.gui.actions.learned_classes import WindowMemory
from napari_wildseg.gui.actions.name_highlight import NameHighlight
from napari_wildseg.gui.actions.next_image import NextImage
from napari_wildseg.gui.actions.objects import WindowObjects
from napari_wildseg.gui.actions.relevance_map import RelevanceMaps
from napari_wildseg.gui.actions.threshold import LiveThreshold
from napari_wildseg.gui.annotation.session import LABELS, ImageSession
from napari_wildseg.gui.annotation.workspace import Workspace
from napari_wildseg.gui.controls.bars import group_by_score
from napari_wildseg.gui.jobs import engines
from napari_wildseg.gui.jobs.engine_jobs import (
    EnginePool,
    Outcome,
    Request,
    download_job,
    refine_steps,
    release_steps,
    segment_steps,
    suggest_steps,
)
from napari_wildseg.gui.jobs.runner import Runner
from napari_wildseg.gui.jobs.worker_thread import Job, shared_worker
from napari_wildseg.gui.layers.change_overlay import ShownChanges, describe_refinement
from napari_wildseg.gui.layers.display import Plane, capture, planes_like
from napari_wildseg.gui.layers.label_pair import why_no_labels
from napari_wildseg.gui.layers.result_writer import PendingResult, ResultWriter, WriteSummary
from napari_wildseg.gui.layers.screen_brush import ScreenBrush
from napari_wildseg.gui.model_list import download_button
from napari_wildseg.process.messages import Suggested

BUNDLED_MODEL = "starter"
_DONE = "Paint what is wrong, then press Refine."
_ROUGH = "This is a first guess, grey is not sure. Paint what is wrong; Refine decides the rest."
_NOTHING_SUGGESTED = (
    "No name of the list fits this image well: type what you see, pick one, or choose another "
    "list under Vocabulary."
)


class Controller(Workspace):
    """Starts runs and shows their results."""

    suggested = Signal(object)
    batch_done = Signal(str)
    """A batch was run to its end; its output folder."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.model = self.settings.model
        self.threshold = float(self.settings.threshold)
        self.vocabulary = self.settings.vocabulary
        self.memory = WindowMemory(self)
        self.auto_names = AutoNames(self)
        self.pool = EnginePool(engines.runs())
        engines.join(self)
        self._planes_left: list[Plane] = []
        self._planes_total = 0
        self.planes_done = 0
        """Planes of a stack that a run has labelled so far and that stay if it is cancelled."""
        self.runner = Runner()
        self.result_writer = ResultWriter(self.runner, self.layers)
        self.live_threshold = LiveThreshold(self)
        self.relevance_maps = RelevanceMaps(self)
        self.name_highlight = NameHighlight(self)
        self.shown_changes = ShownChanges(self)
        self.next_image = NextImage(self)
        self.screen_brush = ScreenBrush(viewer)
        self.objects = WindowObjects(self)
        self.runner.status.connect(self.status.emit)
        self.runner.failed.connect(self._on_failed)
        self.pixels.replaced.connect(self._on_pixels_replaced)
        viewer.layers.events.removed.connect(self._on_layer_removed)
        viewer.dims.events.current_step.connect(self._on_plane_changed)

    @property
    def working(self) -> bool:
        """Whether a run, or the writing of its result, is under way."""
        return self.runner.running or self.result_writer.writing

    @property
    def in_sequence(self) -> bool:
        """Whether planes of a stack are left to a run that does one after the other."""
        return bool(self._planes_left)

    @property
    def closed(self) -> bool:
        """Whether the widget is gone."""
        return self._closed

    def choose_image(self, image: Image | None) -> None:
        """Work on another image; a run for the one before is cancelled."""
        if image is not self._image:
            self.memory.leave(self.session)
        stopped = image is not self._image and self.runner.running
        if stopped:
            self.cancel()
        super().choose_image(image)
        if image is not None:
            self.next_image.show_finished(image)
        if stopped:  # last, so that this message stays in the state line
            self.status.emit("The image was changed, so the run was cancelled.")

    def show_next_step(self, *, added: bool = False) -> None:
        """Show the next step in the state line, unless a run reports progress."""
        if not self.runner.running:
            super().show_next_step(added=added)

    # ------------------------------------------------------------------ requests

    def auto_segment(self) -> None:
        """Find the classes in the plane shown; corrections made before are kept."""
        if self._confirm_replace([self.plane], self.auto_segment):
            return
        if not self.auto_names.start(self._segment_shown):
            self._segment_shown()

    def _segment_shown(self) -> None:
        if (ready := self.ready()) is None:
            return
        session, image, plane = ready
        self._run_segment("Auto-segment", session, image, plane)

    def _run_segment(
        self,
        title: str,
        session: ImageSession,
        image: Image,
        plane: Plane,
        then: Callable[[], object] | None = None,
    ) -> None:
        request, refine = self.request(session, image, plane), self.refine_at_once
        steps = partial(segment_steps, request, session.snapshots(plane), refine=refine)
        self.runner.run(
            title, image, steps, partial(self.show_segmented, session, plane, then=then)
        )

    def auto_segment_planes(self) -> None:
        """Find the classes in every plane of the stack, one after the other."""
        if (ready := self.ready()) is None:
            return
        session, image, plane = ready
        if self._confirm_replace(planes_like(image, plane), self.auto_segment_planes):
            return
        self._planes_left = planes_like(image, plane)
        self._planes_total = len(self._planes_left)
        self._next_plane(session, image)

    def _next_plane(self, session: ImageSession, image: Image) -> None:
        plane = self._planes_left.pop(0)
        number = self._planes_total - len(self._planes_left)
        self.planes_done = number - 1
        title = f"Plane {number} of {self._planes_total}"
        self._run_segment(title, session, image, plane, partial(self._plane_done, session))

    def start_engine(self) -> None:
        """Start the engine process ahead of the first run; it loads the libraries by itself."""
        engine = self.pool.engine
        if not engine.alive and self.model == BUNDLED_MODEL:
            engine.warm(BUNDLED_MODEL)  # part of the package, and small
        elif not engine.alive:
            engine.start()

    def download_model(self, model: str) -> None:
        """Download a model, then run Auto-segment."""
        self.runner.run(
            "Download", None, partial(download_job, self.pool.engine, model), self._on_downloaded
        )

    def release_model(self) -> None:
        """Free the memory of the model and its encodings; labels and corrections stay."""
        if not self.runner.is_free_for("Release"):
            self.notify("The model is at work: wait for it, or cancel the run first.")
            return
        steps = partial(release_steps, self.pool, end=True)
        self.runner.run("Release", None, steps, self._on_released, quiet=True)

    def refine_near(self) -> None:
        """Refine, but change nothing far from what was painted since the last result."""
        self.refine(near=float(self.settings.near_distance))

    def refine(self, *, near: float | None = None) -> None:
        """Refine with the corrections painted so far."""
        try:
            self.opened.set_prior()
        except WildsegError as error:
            self.notify(str(error))
            return
        if (ready := self.ready()) is None:
            return
        session, image, plane = ready
        state = session.plane_state(plane)
        if not state.segmented and state.prior is None:
            self.notify("There is nothing to refine yet: press Auto-segment first.")
            return
        if session.offered:
            self.adopt(session, session.unknown_labels(plane))
        request = self.request(session, image, plane, near=near)
        steps = partial(refine_steps, request, session.snapshots(plane))
        take = partial(self._on_refined, session, plane, near)
        self.runner.run("Refine", image, steps, take)

    def set_threshold(self, value: float) -> None:
        """Set the threshold of the pseudo-labels."""
        self.threshold = float(value)
        self.live_threshold.move()

    def suggest(self) -> None:
        """Suggest names that fit the image."""
        if not self.find_names(self._on_suggestions):
            self.show_next_step()

    def find_names(self, take: Callable[[ImageSession, Plane, Suggested], None]) -> bool:
        """Start a search for names that fit the image in view; whether there is an image."""
        if (view := self.in_view()) is None:
            return False
        session, image, plane = view
        request = self.request(session, image, plane)
        steps = partial(suggest_steps, request, self.vocabulary, self.settings.suggestions)
        self.runner.run("Suggest", image, steps, partial(take, session, plane))
        return True

    def cancel(self, why: str = "") -> None:
        """Stop the running job at its next step; planes of a stack that are done stay."""
        in_between, done = self.in_sequence, self.planes_done
        self._end_sequence()
        self.live_threshold.cancel()
        if not self.runner.cancel() and not in_between:
            return
        if done:
            text = "Cancelled: [the finished plane keeps its|{n} planes keep their] labels, the "
            self.status.emit(why or notices.pluralise(done, f"{text}others are as before."))
        else:
            self.status.emit(why or "Cancelled: nothing was changed.")

    # ------------------------------------------------------------------ results

    def show_segmented(
        self,
        session: ImageSession,
        plane: Plane,
        outcome: Outcome,
        then: Callable[[], object] | None = None,
    ) -> None:
        """Show a plane's labels; what the annotator decided stays."""
        hide = outcome.labels is not None and self.refine_at_once

        def shown(summary: WriteSummary) -> None:
            state = session.plane_state(plane)
            state.segmented, state.model, state.settings = True, outcome.model, outcome.settings
            state.prior = None
            self.apply_visibility()
            self.layers.activate(session, self.selected_class)
            dropped = self.auto_names.finish(summary.present, session)
            seconds = sum(outcome.seconds.values())
            done = f"Done in {seconds:.1f} s. {_DONE if hide else _ROUGH}"
            self._report(outcome, f"{dropped} {done}".strip())
            if then is not None:
                then()

        self.result_writer.start(
            PendingResult("Auto-segment", session, plane, outcome, shown, shown=not hide)
        )

    def _plane_done(self, session: ImageSession) -> None:
        image = session.image
        if self._planes_left and image is not None and image in self.viewer.layers:
            self._next_plane(session, image)
        elif self._planes_total:
            done = notices.pluralise(self._planes_total, "{n} [plane|planes] done.")
            self.status.emit(f"{done} {_DONE}")
            self._end_sequence()

    def _on_downloaded(self, model: str) -> None:
        self.status.emit(f"{model} is on this machine now.")
        if self.model == model and self._image is not None and self.classes:
            self.auto_segment()

    def _on_released(self, _: None) -> None:
        self.status.emit("The model's memory is free again; the next run loads it anew.")

    def _on_refined(
        self, session: ImageSession, plane: Plane, near: float | None, outcome: Outcome
    ) -> None:
        anew = not self.layers.is_in_viewer(session.layer(LABELS))

        def shown(summary: WriteSummary) -> None:
            self.apply_visibility()
            kept = "Refined: {n} corrected [pixel|pixels] kept."
            first = notices.pluralise(summary.kept, kept) if summary.kept else "Refined."
            if anew:
                self._report(outcome, f"{first} {_DONE}")  # no labels before, so nothing to undo
            elif summary.changed:
                self.shown_changes.note(session, plane, outcome.difference)
                changes, alarm = describe_refinement(outcome.difference, session.classes)
                self._report(outcome, f"{first} {changes}", alarm=alarm)
            elif near is not None and outcome.snapshots and outcome.snapshots.painted() is None:
                self._report(outcome, f"Nothing was painted since the last run. {_DONE}")
            else:
                self._report(outcome, f"{first} Nothing changed. {_DONE}")

        self.result_writer.start(
            PendingResult("Refine", session, plane, outcome, shown, pseudo=False)
        )

    def set_suggestions(self, session: ImageSession, plane: Plane, found: Suggested) -> None:
        """Keep the names that were found for an image, and show them."""
        session.suggestions = list(found.names)
        session.suggested_maps = plane, found.maps
        self.suggested.emit(session.suggestions)

    def _on_suggestions(self, session: ImageSession, plane: Plane, found: Suggested) -> None:
        self.set_suggestions(session, plane, found)
        groups = [
            f"{said}: {notices.join_names([name for name, _ in group])}."
            for said, group in group_by_score(session.suggestions)
            if said != "Or pick"
        ]
        if groups:
            self.status.emit(
                " ".join([*groups, "Point at a name to see where it is, click it to add it."])
            )
        else:
            self.status.emit(_NOTHING_SUGGESTED)

    def _report(self, outcome: Outcome, message: str, *, alarm: bool = False) -> None:
        self.areas_changed.emit()
        tell = self.warned if alarm else self.status
        tell.emit(" ".join([*outcome.notices, message]))

    # ------------------------------------------------------------------ internal

    def _confirm_replace(self, planes: Iterable[Plane | None], again: Callable[[], None]) -> bool:
        """Offer to replace labels that Auto-segment did not make; whether there are any."""
        session = self.session
        if session is None:
            return False
        wanted = set(planes)
        kept = [s for p, s in session.planes.items() if p in wanted and s.prior is not None]
        tracked = session.tracked.get(LABELS)
        adopted = tracked is not None and tracked.adopted and not session.may_replace
        if not kept and not adopted and not self.opened.is_corrected():
            return False

        def replace() -> None:
            session.may_replace = True
            for state in kept:
                state.prior = None
            again()

        message = (
            "Auto-segment would replace labels that it did not make, or put its own over them: "
            "Refine starts from them and keeps what you paint."
        )
        if session.may_replace and not kept:
            return False
        self.status.emit(message)
        notices.offer(message, "Segment anew", replace)
        return True

    def ready(self) -> tuple[ImageSession, Image, Plane] | None:
        """Return what a run needs, or report what is missing and return None.

        Planes that an earlier run still had to label are dropped.
        """
        self._end_sequence()
        session, plane = self.session, self.plane
        if self._image is None or session is None or plane is None or not session.classes:
            self.show_next_step()
            return None
        if not session.tracked and (too_large := why_no_labels(self._image)):
            self.notify(too_large)
            return None
        return session, self._image, plane

    def _end_sequence(self) -> None:
        self._planes_left, self._planes_total, self.planes_done = [], 0, 0

    def request(
        self, session: ImageSession, image: Image, plane: Plane, *, near: float | None = None
    ) -> Request:
        """Return the request of a job on a plane."""
        return Request(
            pool=self.pool,
            slot=session.plane_state(plane).slot,
            source=capture(image, plane, self.viewer.layers),
            classes=session.classes,
            threshold=self.threshold,
            model=self.model,
            options={"views": self.settings.views, "background": self.settings.background},
            prior=session.plane_state(plane).prior,
            limits=Limits(near, tuple(sorted(session.locked))),
            memory=self.memory.current,
        )

    def _on_failed(self, message: str, error: BaseException) -> None:
        self._end_sequence()
        if isinstance(error, NotDownloadedError):
            self.status.emit(message)
            notices.offer(
                message, download_button(error.megabytes), partial(self.download_model, error.model)
            )
        else:
            self.notify(message)

    def _on_plane_changed(self) -> None:
        session = self.session
        self.opened.track()
        if session is not None and session.planes:
            self.areas_changed.emit()
            self.show_next_step()

    def _on_pixels_replaced(self, image: Image) -> None:
        if image is self.runner.image:
            self.cancel("The pixels of the image were replaced, so the run was cancelled.")

    def _on_layer_removed(self, event: Any) -> None:
        layer = event.value
        if layer is self.runner.image:
            self.cancel("The image was removed, so the run was cancelled.")
        owner = self.sessions.owner_of(layer) if isinstance(layer, Labels) else None
        if owner is not None and self.left_over.keep_deleted(*owner) and owner[0] is self.session:
            self.classes_changed.emit()
            self.status.emit("The corrections of the deleted layer are kept: see Restore above.")
        elif isinstance(layer, Image) and (session := self.sessions.get(layer)) is not None:
            self.autosave.close(session)
        self.areas_changed.emit()

    def shut_down(self) -> None:
        """Cancel the run and disconnect from the viewer; may be called again."""
        if self._closed:
            return
        self.runner.cancel()
        self.memory.close()
        self.screen_brush.switch(False)
        self.objects.shut_down()
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.viewer.dims.events.current_step.disconnect(self._on_plane_changed)
        super().shut_down()
        shared_worker().submit(Job(partial(release_steps, self.pool, end=False)))
        engines.leave(self)
