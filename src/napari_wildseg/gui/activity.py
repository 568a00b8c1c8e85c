"""Progress of a job in napari's activity dock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from napari.utils import progress
from qtpy.QtCore import QTimer

from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui.controls.plain_text import plain
from napari_wildseg.gui.painting import TURN, hold_painting, hold_spinners, main_windows


class _Bar(progress):  # type: ignore[misc]
    """A bar whose cancel button cancels a job that is not a loop over the bar.

    It is no `cancelable_progress`. napari shows the button of one before the button has a place: a
    window of its own flashes on the screen, which takes as long as all else about a bar.
    """

    stop: Callable[[], object] | None = None

    def cancel(self) -> None:
        """Stop the job; napari calls this when its button is pressed."""
        if self.stop is not None:
            self.stop()

    def offer_cancel(self) -> None:
        """Show the button, which has its place now; nothing where napari keeps it elsewhere."""
        for window in main_windows():
            find = getattr(getattr(window, "_activity_dialog", None), "get_pbar_from_prog", None)
            button = getattr(None if find is None else find(self), "cancel_button", None)
            if button is not None:
                button.show()


FORMAT = "{desc}|{bar}|{n_fmt}/{total_fmt}"
"""What napari writes behind a bar, after the last stroke. With times and rates, as it is by itself,
the button is pushed out of view, and comes and goes as the words change."""

PATIENCE = 2.0
"""Seconds a job has run when it gets a bar. Shorter ones are over before one has looked there, and
napari draws the whole window while it makes a bar, which holds the window and the job up."""


DRAWING = 40
"""Milliseconds in which the window has begun to be drawn with a new bar."""


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
        self._asked = False
        self._open = True
        self._showing = False
        self._from = time.monotonic() + PATIENCE

    def show(self, progress: Progress) -> None:
        """Move the bar on; the first time, make one, over several turns of the event loop."""
        # napari processes events while it draws a bar: the job may report, or end, in one of them.
        if not self._open or self._showing or time.monotonic() < self._from:
            return
        if self._bar is not None:
            self._while_showing(self._move, progress)
        elif not self._asked:
            self.begin(progress)

    def begin(self, progress: Progress, then: Callable[[], object] | None = None) -> None:
        """Make the bar, over several turns of the event loop.

        Parameters
        ----------
        progress : Progress
            What the bar shows at first.
        then : callable, optional
            Called when it is there and drawn, or no longer wanted.
        """
        self._asked = True
        go_on = hold_painting()

        def make() -> None:
            self._while_showing(self._make, progress, go_on)
            if then is not None:
                QTimer.singleShot(DRAWING, then)

        QTimer.singleShot(TURN, make)

    def _while_showing(self, draw: Callable[..., None], *arguments: Any) -> None:
        self._showing = True
        try:
            draw(*arguments)
        finally:
            self._showing = False
        if not self._open:
            self.close()

    def _make(self, progress: Progress, go_on: Callable[[], None]) -> None:
        try:
            if self._open:
                # A total of 0 shows a moving bar: how long it takes is not known yet.
                desc = plain(progress.stage or self._title)
                self._bar = bar = _Bar(
                    total=progress.total, desc=desc, leave=False, bar_format=FORMAT
                )
                bar.stop = self._cancel
                bar.offer_cancel()
                self._turn = hold_spinners()
        finally:
            QTimer.singleShot(TURN, go_on)

    def _move(self, progress: Progress) -> None:
        bar = self._bar
        if bar is None:
            return
        if self._open and bar.total != progress.total:
            bar.total = progress.total
        if self._open and bar.n != progress.done:
            bar.update(progress.done - bar.n)
        if self._open:  # the number behind the bar as well, which it would bring when it likes
            bar.set_description(plain(progress.stage or self._title))

    def close(self) -> None:
        """Remove the bar; more than once is harmless."""
        self._open = False
        if self._bar is not None:
            self._bar.stop = None
            self._turn()  # for the bars of others; napari stops it where there are none
            self._bar.close()
            self._bar = None
