"""The threshold slider: pseudo-labels follow while it is dragged, one undo step a drag.

During another run the slider only sets the threshold of the next request; the plane in view is
updated when the run ends. On a large plane a move updates the state line only; the pseudo-labels
are written when the slider is released.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_wildseg.gui.annotation.decisions import UNLABELLED, only
from napari_wildseg.gui.annotation.session import PSEUDO
from napari_wildseg.gui.jobs.engine_jobs import threshold_steps
from napari_wildseg.gui.layers.result_writer import PendingResult, WriteSummary

if TYPE_CHECKING:
    from napari_wildseg.gui.actions.controller import Controller
    from napari_wildseg.gui.annotation.session import ImageSession
    from napari_wildseg.gui.jobs.engine_jobs import Outcome
    from napari_wildseg.gui.layers.display import Plane

LIVE = 4_000_000
"""Largest plane, in pixels, whose pseudo-labels are written at every move."""

THRESHOLD = "Threshold"
REFINE = "Refine"
"""Title of the run that a released slider starts; it replaces an earlier one."""


class LiveThreshold:
    """Applies the threshold of the slider."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._released = False
        self._waiting: PendingResult | None = None
        self._due = False
        controller.runner.busy.connect(self._on_busy)

    def move(self) -> None:
        """Compute the pseudo-labels at the controller's threshold."""
        controller = self._controller
        if (view := controller.in_view()) is None or not view[0].classes:
            return
        session, image, plane = view
        if not session.plane_state(plane).segmented or not controller.runner.is_free_for(THRESHOLD):
            return
        self._released, self._waiting = False, None
        steps = partial(threshold_steps, controller.request(session, image, plane))
        take = partial(self._on_pseudo_labels, session, plane)
        controller.runner.run(THRESHOLD, image, steps, take, quiet=True)

    def on_released(self) -> None:
        """Refine, or write the pending pseudo-labels, once the slider is released."""
        controller = self._controller
        session, plane = controller.session, controller.plane
        if session is None or plane is None or not session.plane_state(plane).segmented:
            return
        runner = controller.runner
        mine = runner.is_free_for(THRESHOLD) or runner.is_free_for(REFINE)
        if not mine or controller.result_writer.writing or controller.in_sequence:
            self._due = True
            return
        self._due = False
        if (tracked := session.tracked.get(PSEUDO)) is not None:
            tracked.end_preview()
        if controller.refine_at_once:
            self._waiting = None
            controller.refine()
            return
        self._released = True
        if self._waiting is not None and not controller.runner.running:
            self._show()

    def cancel(self) -> None:
        """Drop the pending update after a run was cancelled."""
        self._due = False

    def _on_busy(self, busy: bool) -> None:
        if self._due and not busy:
            # The next part of the same run starts in this turn of the event loop.
            QTimer.singleShot(0, self._resume)

    def _resume(self) -> None:
        controller = self._controller
        if not self._due or controller.working or controller.in_sequence or controller.closed:
            return
        if not controller.refine_at_once:
            self.move()
        self.on_released()

    def _on_pseudo_labels(self, session: ImageSession, plane: Plane, outcome: Outcome) -> None:
        controller = self._controller
        seeds = only(outcome.pseudo_labels, session.ids, UNLABELLED)
        pseudo = session.tracked.get(PSEUDO)
        there = pseudo is not None and controller.layers.is_in_viewer(pseudo.layer)
        unsure = float((outcome.pseudo_labels == UNLABELLED).mean())
        message = f"Threshold {controller.threshold:.2f}: {unsure:.0%} of the pixels are not sure."
        if outcome.pseudo_labels.size <= LIVE:
            session.plane_state(plane).pseudo_labels = seeds
            if pseudo is not None and there:
                pseudo.write(plane, seeds, preview=True)
                if self._released:
                    pseudo.end_preview()
        elif there and not controller.refine_at_once:
            shown = partial(self._shown, message)
            self._waiting = PendingResult(THRESHOLD, session, plane, outcome, shown)
            if self._released:
                self._show()
        controller.areas_changed.emit()
        controller.status.emit(" ".join([*outcome.notices, message]))

    def _show(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._controller.result_writer.start(waiting)

    def _shown(self, message: str, _: WriteSummary) -> None:
        self._controller.areas_changed.emit()
        self._controller.status.emit(message)
