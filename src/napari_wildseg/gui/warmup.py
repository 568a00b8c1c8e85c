"""Makes the first run ready ahead of the click, while the annotator's hands rest.

Opening the widget loads nothing. Once it is shown and nothing was touched for a moment, the worker
imports the libraries, loads the starter if that is the chosen model (it is part of the package and
small; larger models wait until they are asked for) and has it look at a tiny picture, which brings
in what the libraries themselves import late. It goes on stage by stage: as soon as the mouse moves
or a key is pressed, the next stage waits. A run that is asked for meanwhile queues behind the
stage under way and makes the rest ready itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QWidget

from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.gui.idle import Hands
from napari_wildseg.gui.imports import MODULES, import_steps
from napari_wildseg.gui.jobs.worker_thread import Job, shared_worker

if TYPE_CHECKING:
    from napari_wildseg.gui.jobs.engine_jobs import EnginePool

REST = 1.0
"""Seconds without mouse and keyboard before something is done ahead."""

STARTER = "starter"


class WarmUp(QObject):
    """Does the stages one after the other, each at a moment of rest.

    Parameters
    ----------
    widget : QWidget
        The dock widget.
    pool : EnginePool
        Takes the model.
    model : callable
        Returns the model string that is chosen.
    working : callable
        Whether a run is under way.
    say : callable
        Takes a sentence for the state line; called while a run waits behind a stage.
    """

    def __init__(
        self,
        widget: QWidget,
        pool: EnginePool,
        *,
        model: Callable[[], str],
        working: Callable[[], bool],
        say: Callable[[str], object],
    ) -> None:
        super().__init__(widget)
        self._widget, self._pool = widget, pool
        self._model, self._working, self._say = model, working, say
        self._hands: Hands | None = None
        self._job: Job | None = None
        self._done: set[str] = set()
        self._over = False
        self._timer = QTimer(self)
        self._timer.setInterval(200)
        self._timer.timeout.connect(self.look)

    @property
    def active(self) -> bool:
        """Whether stages are left."""
        return self._timer.isActive()

    def begin(self) -> None:
        """Start looking for moments of rest; only the first call counts, and none after `stop`."""
        if self._hands is None and not self._over:
            self._hands = Hands(self._widget)
            self._timer.start()

    def stop(self) -> None:
        """Do nothing ahead any more; more than once is harmless."""
        self._over = True
        self._timer.stop()
        if self._hands is not None:
            self._hands.let_go()
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def look(self) -> None:
        """Do the next stage if the hands rest and nothing runs."""
        if self._hands is None or self._job is not None:
            return
        if self._working():
            self._hands.used()  # what comes after a run is looked at, and the mouse is on its way
        elif self._hands.rest_for(REST):
            self._do_next()

    def _do_next(self) -> None:
        name, steps = self._next()
        if steps is None:
            self.stop()
            return
        self._done.add(name)
        job = Job(steps)
        job.on_progress = self._on_progress
        job.on_end = partial(self._on_end, job)
        self._job = shared_worker().submit(job)

    def _next(self) -> tuple[str, Callable[[], Steps[None]] | None]:
        """Return the first stage that is still to be done, if there is one."""
        for name in MODULES:
            if name not in sys.modules and name not in self._done:
                return name, partial(import_steps, (name,))
        if self._model() == STARTER and STARTER not in self._done:
            return STARTER, partial(_model_steps, self._pool)
        return "", None

    def _on_progress(self, progress: Progress) -> None:
        if self._working():
            self._say(f"{progress.stage} ...")

    def _on_end(self, job: Job) -> None:
        if self._job is job:
            self._job = None


def _model_steps(pool: EnginePool) -> Steps[None]:
    """Load the starter into the pool and let it work once, on a picture of a few pixels."""
    if pool.models:
        return  # a run was quicker
    import numpy as np

    from napari_wildseg.engine.models import load_model
    from napari_wildseg.engine.segmenter import Segmenter

    yield Progress(0, 0, f"Loading the model {STARTER}")
    model: Any = load_model(STARTER)
    pool.models = {STARTER: model}
    yield Progress(0, 0, "Trying the model")
    segmenter = Segmenter(model, views="single")
    rng = np.random.default_rng(0)
    yield from segmenter.set_image_steps(rng.integers(0, 255, (64, 64, 3), np.uint8))
    yield from segmenter.segment_steps("cat, dog")
