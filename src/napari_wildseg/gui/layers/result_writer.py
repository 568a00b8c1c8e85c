"""Writes results into the label layers without blocking the window.

The worker computes from a snapshot which pixels change and which corrections stay (`decisions.py`).
If the annotator painted meanwhile, the snapshot is stale and the plan is made again, so painted
pixels are never overwritten.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_wildseg.engine.progress import Progress, Steps, drain
from napari_wildseg.gui.annotation.decisions import (
    UNLABELLED,
    Plan,
    PlaneSnapshot,
    PlaneSnapshots,
    labels_in,
    only,
)
from napari_wildseg.gui.annotation.session import LABELS, PSEUDO, ImageSession
from napari_wildseg.gui.jobs.engine_jobs import Outcome
from napari_wildseg.gui.jobs.runner import Runner
from napari_wildseg.gui.layers.display import Plane
from napari_wildseg.gui.layers.label_layers import FILL, LabelLayers

MAX_REPLANS = 4
"""Number of stale snapshots after which the plan is made on the GUI thread."""


@dataclass(frozen=True)
class WriteSummary:
    """What writing a result changed."""

    changed: bool  # whether a pixel of the labels changed
    kept: int  # how many pixels stayed because the annotator decided them
    present: set[int]  # labels that occur in the result or were painted


@dataclass(frozen=True)
class PendingResult:
    """A result to be written into the label layers."""

    # Of the run that made it; the result writer is its last part, and can be cancelled with it.
    title: str
    session: ImageSession  # the image's session
    plane: Plane  # which plane
    outcome: Outcome  # the result. If it has no labels, only the pseudo-labels are written
    then: Callable[[WriteSummary], object]  # called when all is written
    # Make a layer for the pseudo-labels if there is none, and write into it whether they changed or
    # not.
    pseudo: bool = True
    shown: bool = True  # whether a new layer of pseudo-labels is shown


@dataclass(frozen=True)
class _Planned:
    plans: dict[str, Plan]
    summary: WriteSummary
    pseudo_labels: NDArray[np.uint8]
    ids: frozenset[int]
    """The classes at the time of planning."""


class ResultWriter:
    """Writes results into label layers."""

    def __init__(self, runner: Runner, layers: LabelLayers) -> None:
        self._runner = runner
        self._layers = layers
        self.writing = False
        """Whether a result is being written, over several turns of the event loop."""

    def start(self, pending: PendingResult, replans: int = MAX_REPLANS) -> None:
        """Write a result, unless its image was removed."""
        image, session = pending.session.image, pending.session
        if not self._layers.is_in_viewer(image):
            return
        there = session.layer(PSEUDO) is not None
        before = session.plane_state(pending.plane).pseudo_labels if not pending.pseudo else None
        # The run's own snapshot first; a new one copies the plane.
        noted = pending.outcome.snapshots if replans == MAX_REPLANS else None
        steps = partial(
            _plan_steps,
            pending.outcome,
            noted or session.snapshots(pending.plane),
            session.ids,
            pseudo=pending.pseudo or there,
            before=before,
        )
        if not replans:
            self._write(pending, drain(steps()))
            return
        check = partial(self._check, pending, replans)
        self._runner.run(pending.title, image, steps, check, quiet=True)

    def _check(self, pending: PendingResult, replans: int, planned: _Planned) -> None:
        if all(self._is_current(pending, planned, kind) for kind in planned.plans):
            self._write(pending, planned)
        else:
            self.start(pending, replans - 1)

    def _is_current(self, pending: PendingResult, planned: _Planned, kind: str) -> bool:
        """Whether the snapshot of a plan is still current."""
        tracked, snapshot = pending.session.tracked.get(kind), planned.plans[kind].snapshot
        there = tracked is not None and self._layers.is_in_viewer(tracked.layer)
        if there != snapshot.there or not planned.ids <= pending.session.ids:
            return False
        return tracked is None or not there or tracked.is_current(pending.plane, snapshot)

    def _write(self, pending: PendingResult, planned: _Planned) -> None:
        if not self._layers.is_in_viewer(pending.session.image):
            return
        pending.session.plane_state(pending.plane).pseudo_labels = planned.pseudo_labels
        self.writing = True
        self._runner.busy.emit(True)
        self._next(pending, planned, list(planned.plans))

    def _next(
        self,
        pending: PendingResult,
        planned: _Planned,
        kinds: list[str],
        error: Exception | None = None,
    ) -> None:
        """Write one layer after the other."""
        session, plane, image = pending.session, pending.plane, pending.session.image
        if error is not None:
            self._end()
            self._runner.fail(pending.title, error)
            return
        if image is None or not self._layers.is_in_viewer(image) or not kinds:
            self._end()
            if image is not None and not kinds:
                pending.then(planned.summary)
            return
        kind, rest = kinds[0], kinds[1:]
        plan = planned.plans[kind]
        if not self._is_current(pending, planned, kind):
            self._restart(pending)
        elif plan.snapshot.there:
            session.tracked[kind].carry_out(
                plane, plan, partial(self._next, pending, planned, rest)
            )
        else:
            layer = self._layers.make(session, image, kind, plan)
            visible = pending.shown or kind == LABELS
            self._layers.add(session, image, kind, layer, plane, plan, visible=visible)
            # Adding a layer takes long: process events before the next one.
            QTimer.singleShot(1, partial(self._next, pending, planned, rest))

    def _restart(self, pending: PendingResult) -> None:
        """Start again: a stroke or a class change came while a layer was written."""
        self._end()
        self.start(pending, MAX_REPLANS - 1)

    def _end(self) -> None:
        self.writing = False
        self._runner.busy.emit(self._runner.running)


def _plan_steps(
    outcome: Outcome,
    snapshots: PlaneSnapshots,
    ids: frozenset[int],
    *,
    pseudo: bool,
    before: NDArray[np.uint8] | None,
) -> Steps[_Planned]:
    """Plan how to show a result; ``before`` are pseudo-labels that need not be shown again."""
    yield Progress(0, 1, "Writing the result")
    # A class that was removed during the run has no row any more, so it gets no pixels.
    pseudo_labels = only(outcome.pseudo_labels, ids, UNLABELLED)
    labels = None if outcome.labels is None else only(outcome.labels, ids, 0)
    outcome = replace(outcome, pseudo_labels=pseudo_labels, labels=labels)
    decided = snapshots.decided()
    wanted = {}
    if pseudo and (before is None or not np.array_equal(before, outcome.pseudo_labels)):
        wanted[PSEUDO] = outcome.pseudo_labels
    if outcome.labels is not None:
        wanted[LABELS] = outcome.labels
    plans = {}
    for kind, automatic in wanted.items():
        yield Progress(0, 1, "Writing the result")
        shape = (automatic.shape[0], automatic.shape[1])
        snapshot = snapshots.layers.get(kind) or PlaneSnapshot.blank(shape, FILL[kind])
        plans[kind] = snapshot.plan(automatic, decided if kind == LABELS else None)
    there = labels_in(outcome.pseudo_labels if outcome.labels is None else outcome.labels)
    kept = 0
    if decided is not None:
        kept = int(np.count_nonzero(decided != UNLABELLED))
        there |= labels_in(decided)
    changed = LABELS in plans and plans[LABELS].changes
    return _Planned(plans, WriteSummary(changed, kept, there), pseudo_labels, ids)
