"""Progress of a job in napari's activity dock."""

from __future__ import annotations

from collections.abc import Callable

from napari.utils import cancelable_progress

from napari_wildseg.engine.progress import Progress


class _Bar(cancelable_progress):  # type: ignore[misc]
    """A bar whose cancel button cancels a job that is not a loop over the bar."""

    stop: Callable[[], object] | None = None

    def cancel(self) -> None:
        """Stop the job."""
        super().cancel()
        if self.stop is not None:
            self.stop()


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
        # A total of 0 shows a moving bar: how long it takes is not known yet.
        self._bar = _Bar(total=0, desc=title, leave=False)
        self._bar.stop = cancel
        self._open = True

    def show(self, progress: Progress) -> None:
        """Move the bar on."""
        if not self._open:
            return
        if self._bar.total != progress.total:
            self._bar.total = progress.total
        if self._bar.desc != progress.stage:
            self._bar.set_description(progress.stage)
        self._bar.update(progress.done - self._bar.n)

    def close(self) -> None:
        """Remove the bar; more than once is harmless."""
        if self._open:
            self._open = False
            self._bar.stop = None
            self._bar.close()
