"""One long-lived thread that runs jobs in order, a step at a time, and can stop between steps.

The engine process carries out one call at a time. So one thread serves every widget, and jobs are
generators: between two steps the thread checks whether the job was cancelled.
"""

import atexit
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal, Slot

from napari_wildseg.engine.progress import Progress, Steps


class Job:
    """A job and its callbacks, which run on the GUI thread."""

    def __init__(
        self,
        start: Callable[[], Steps[Any]],
        *,
        on_progress: Callable[[Progress], None] | None = None,
        on_result: Callable[[Any], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self._start = start
        self.on_progress = on_progress
        self.on_result = on_result
        self.on_error = on_error
        self.on_end = on_end
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether the job was cancelled."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Stop at the next step; a job that has not started never will."""
        self._cancelled.set()

    def run(self, report: Callable[[str, Any], None]) -> None:
        """Run to the end, on the calling thread."""
        if self.cancelled:
            return
        last: Progress | None = None
        try:
            steps = self._start()
            while True:
                try:
                    progress = next(steps)
                except StopIteration as stop:
                    report("result", stop.value)
                    return
                if self.cancelled:
                    steps.close()
                    return
                if progress is not last:  # else it only waits
                    report("progress", progress)
                last = progress
        except BaseException as error:  # the thread must outlive every job
            report("error", error)


class _Relay(QObject):
    """Carries reports to the thread it was made on."""

    reported = Signal(object, str, object)

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[tuple[Job, str, object]] = deque()
        self._delivering = False
        self.reported.connect(self.deliver, Qt.ConnectionType.QueuedConnection)

    @Slot(object, str, object)  # type: ignore[untyped-decorator]
    def deliver(self, job: Job, what: str, value: object) -> None:
        """Call what the job asked to be called, in the order it was reported.

        napari's progress bars process events while they are drawn, so that the next report can
        arrive in the middle of this one; it has to wait.
        """
        self._waiting.append((job, what, value))
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._waiting:
                self._call(*self._waiting.popleft())
        finally:
            self._delivering = False

    @staticmethod
    def _call(job: Job, what: str, value: object) -> None:
        if what == "end":
            if job.on_end is not None:
                job.on_end()
            # A callback often holds the widget; an ended job must not keep it alive.
            job.on_progress = job.on_result = job.on_error = job.on_end = None
            return
        if job.cancelled:
            return
        callback: Callable[[Any], None] | None = getattr(job, f"on_{what}")
        if callback is not None:
            callback(value)


class Worker:
    """The thread and its queue. Make it on the GUI thread."""

    def __init__(self, name: str = "wildseg-worker") -> None:
        self._relay = _Relay()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._current: Job | None = None
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> Job:
        """Queue a job."""
        self._queue.put(job)
        return job

    def stop(self, timeout: float = 5.0) -> None:
        """Cancel the running job and end the thread."""
        current = self._current
        if current is not None:
            current.cancel()
        self._queue.put(None)
        self._thread.join(timeout)

    def _loop(self) -> None:
        while True:
            job = self._queue.get()
            if job is None:
                return
            self._current = job
            job.run(lambda what, value, job=job: self._report(job, what, value))  # type: ignore[misc]
            self._current = None
            self._report(job, "end", None)
            # Without this the thread holds the last job, and with it an image, while it waits.
            del job

    def _report(self, job: Job, what: str, value: object) -> None:
        try:
            self._relay.reported.emit(job, what, value)
        except RuntimeError:
            # The application is closing and Qt has deleted the relay.
            job.cancel()


_shared: dict[str, Worker] = {}


def _shared_worker(name: str) -> Worker:
    if name not in _shared:
        _shared[name] = Worker(name)
        # No job must be under way while the interpreter is taken down.
        atexit.register(_shared[name].stop)
    return _shared[name]


def shared_worker() -> Worker:
    """Return the worker of this process, starting it on first use (on the GUI thread)."""
    return _shared_worker("wildseg-worker")


def objects_worker() -> Worker:
    """Return the worker that keeps objects up to date while the other one runs."""
    return _shared_worker("wildseg-objects")


def learning_worker() -> Worker:
    """Return the worker that learns from finished images beside all runs."""
    return _shared_worker("wildseg-learning")
