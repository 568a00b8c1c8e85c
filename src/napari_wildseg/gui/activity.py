"""Progress of a job in napari's activity dock."""

from __future__ import annotations

import time
from collections.abc import Callable

from napari.utils import cancelable_progress
from qtpy.QtCore import QTimer

from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui.painting import TURN, hold_painting, hold_spinners


class _Bar(cancelable_progress):  # type: ignore[misc]
    """A bar whose cancel button cancels a job that is not a loop over the bar."""

    stop: Callable[[], object] | None = None

    def cancel(self) -> None:
        """Stop the job."""
        super().cancel()
        if self.stop is not None:
            self.stop()


PATIENCE = 2.0
"""Seconds a job has run when it gets a bar. Shorter ones are over before one has looked there, and
napari draws the whole window while it makes a bar, which holds the window and the job up."""


class Activity:
    """Shows one job.

    Parameters
    ----------
    title : str
        What the job is.
    cancel : callable
        Called when the annotator presses the bar's own cancel button.
    """

    def __init__(self, title: str, cancel: Callable[[], object]) -> None:
        self._title = title
        self._cancel = cancel
        self._bar: _Bar | None = None
        self._turn: Callable[[], None] = lambda: None
        self._open = True
        self._showing = False
        self._from = time.monotonic() + PATIENCE

    def show(self, progress: Progress) -> None:
        """Move the bar on."""
        # napari processes events while it draws a bar, also a new one: the job may report, or end,
        # in one of them.
        if not self._open or self._showing or time.monotonic() < self._from:
            return
        self._showing = True
        try:
            self._draw(progress)
        finally:
            self._showing = False
        if not self._open:
            self.close()

    def _draw(self, progress: Progress) -> None:
        if self._bar is None:
            go_on = hold_painting()
            try:
                # A total of 0 shows a moving bar: how long it takes is not known yet.
                self._bar = _Bar(total=progress.total, desc=self._title, leave=False)
            finally:
                QTimer.singleShot(TURN, go_on)
            self._bar.stop = self._cancel
            self._turn = hold_spinners()
        bar = self._bar
        if self._open and bar.total != progress.total:
            bar.total = progress.total
        text = f"{self._title}: {progress.stage}"
        if self._open and bar.desc != text:
            bar.set_description(text)
        if self._open and bar.n != progress.done:
            bar.update(progress.done - bar.n)

    def close(self) -> None:
        """Remove the bar; more than once is harmless."""
        self._open = False
        if self._bar is not None:
            self._bar.stop = None
            self._turn()  # for the bars of others; napari stops it where there are none
            self._bar.close()
            self._bar = None
