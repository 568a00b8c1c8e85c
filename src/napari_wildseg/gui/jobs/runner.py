"""One job at a time for one widget: the latest wins, and every failure is a sentence.

Jobs that take long are shown in napari's activity dock.
"""

import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from napari.layers import Image
from napari.utils import cancelable_progress
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.gui import notices
from napari_wildseg.gui.controls.plain_text import plain
from napari_wildseg.gui.jobs.worker_thread import Job, shared_worker

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


STATUS_INTERVAL = 300
"""Milliseconds between two sentences about a job, three times as many once it takes long: each of
them has the window drawn."""

LONG = 3.0
"""Seconds after which a job takes long."""


class Runner:
    """Starts jobs on the shared worker and takes their results on the GUI thread."""

    status = Signal(str)
    failed = Signal(str, object)
    """A sentence, and the exception it tells of."""
    busy = Signal(bool)

    def __init__(self) -> None:
        self._job: Job | None = None
        self._title = ""
        self._image: weakref.ref[Image] | None = None
        self._activity: Activity | None = None
        self._latest: Progress | None = None
        self._since = 0.0

    @property
    def running(self) -> bool:
        """Whether a job runs."""
        return self._job is not None

    @property
    def image(self) -> Image | None:
        """The image the running job works on."""
        return None if self._image is None else self._image()

    def is_running(self, title: str) -> bool:
        """Whether a job of this kind runs."""
        return self._job is not None and self._title == title

    def is_free_for(self, title: str) -> bool:
        """Whether nothing runs but perhaps an earlier job of the same kind."""
        return self._job is None or self._title == title

    def run(
        self,
        title: str,
        image: Image | None,
        start: Callable[[], Steps[Any]],
        take: Callable[[Any], None],
        *,
        quiet: bool = False,
    ) -> None:
        """Start a job; the one before it is no longer wanted."""
        if self._job is not None:
            self._job.cancel()
            self._finish(self._job, quiet=True)
        job = Job(start)
        job.on_progress = partial(self._on_progress, job)
        job.on_result = partial(self._on_result, job, title, take)
        job.on_error = partial(self._on_error, job, title)
        self._job, self._title, self._since = job, title, time.monotonic()
        self._image = None if image is None else weakref.ref(image)
        if not quiet:
            self._activity = Activity(title, self.cancel)
            self.status.emit(f"{title}: starting ...")
        self.busy.emit(True)
        shared_worker().submit(job)

    def cancel(self) -> bool:
        """Stop the running job at its next step."""
        job = self._job
        if job is None:
            return False
        job.cancel()
        self._finish(job)
        return True

    def fail(self, title: str, error: Exception) -> None:
        """Report an error after the end of a job."""
        self.failed.emit(notices.sentence(error, title), error)

    def _on_progress(self, job: Job, progress: Progress) -> None:
        if self._activity is None:
            return
        if self._latest is None:
            slow = time.monotonic() - self._since > LONG
            QTimer.singleShot(
                3 * STATUS_INTERVAL if slow else STATUS_INTERVAL, partial(self._show_latest, job)
            )
        self._latest = progress

    def _show_latest(self, job: Job) -> None:
        """Show the latest progress; what was reported between two sentences is skipped."""
        if self._job is not job or self._latest is None or self._activity is None:
            return
        progress, self._latest = self._latest, None
        self.status.emit(f"{progress.stage} ...")
        self._activity.show(progress)

    def _on_result(self, job: Job, title: str, take: Callable[[Any], None], value: Any) -> None:
        self._finish(job)
        try:
            take(value)
        except Exception as error:
            self.fail(title, error)

    def _on_error(self, job: Job, title: str, error: BaseException) -> None:
        self._finish(job)
        self.failed.emit(notices.sentence(error, title), error)

    def _finish(self, job: Job, *, quiet: bool = False) -> None:
        if self._job is not job:
            return
        self._job = self._image = self._latest = None
        if self._activity is not None:
            self._activity.close()
            self._activity = None
        if not quiet:
            self.busy.emit(False)
