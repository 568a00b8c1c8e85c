"""Progress of a job in napari's activity dock."""

import time
from collections.abc import Callable

from napari.utils import cancelable_progress

from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui.controls.plain_text import plain

FORMAT = "{desc}|{bar}|{n_fmt}/{total_fmt}"
"""What napari writes behind a bar, after the last stroke. With times and rates, its default, the
cancel button is pushed out of view."""

DELAY = 2.0
"""Seconds a job has run when it gets a bar: shorter ones end before anybody reads one."""


class _Bar(cancelable_progress):  # type: ignore[misc]
    """A bar whose cancel button cancels a job that is not a loop over the bar.

    napari shows the button before it has a parent, so that a small window flashes on the screen
    (reported upstream; see ``docs/development/upstream.md``).
    """

    def cancel(self) -> None:
        """Stop the job; napari calls this when its button is pressed."""
        super().cancel()
        if self.cancel_callback is not None:
            self.cancel_callback()


class Activity:
    """Shows one job."""

    def __init__(self, title: str, cancel: Callable[[], object]) -> None:
        self._title = title
        self._cancel = cancel
        self._bar: _Bar | None = None
        self._open = True
        self._showing = False
        self._from = time.monotonic() + DELAY

    def show(self, progress: Progress) -> None:
        """Move the bar on; the first time, make one."""
        # napari processes events while it draws a bar: the job may report, or end, in one of them.
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
        description = plain(progress.stage or self._title)
        if self._bar is None:
            # A total of 0 shows a moving bar: how long it takes is not known yet.
            self._bar = _Bar(
                total=progress.total,
                desc=description,
                cancel_callback=self._cancel,
                leave=False,
                bar_format=FORMAT,
            )
            return
        bar = self._bar
        if bar.total != progress.total:
            bar.total = progress.total
        if self._open and bar.n != progress.done:
            bar.update(progress.done - bar.n)
        if self._open:
            bar.set_description(description)

    def close(self) -> None:
        """Remove the bar; more than once is harmless."""
        self._open = False
        if self._bar is not None and not self._showing:
            self._bar.cancel_callback = None
            self._bar.close()
            self._bar = None
