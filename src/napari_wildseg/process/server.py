"""The child's side: carries out the calls of the window, one at a time.

A thread reads what the window sends, so that a cancel and the end of the window are noticed while
a step runs. When the window is gone, however it ended, the process ends at once.
"""

import os
import queue
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, BinaryIO

from napari_wildseg.engine.errors import InputError, NotDownloadedError, WildsegError, out_of_memory
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.process.messages import receive, send

Reader = Callable[[list[int]], Any]
"""Returns the pixels of a box ``[top, bottom, left, right]`` of the plane of the present call."""


class _Cancelled(Exception):  # noqa: N818 - no error
    """The window does not want the call any more."""


class Server:
    """Reads calls from one stream and answers on another."""

    def __init__(self, source: BinaryIO, target: BinaryIO) -> None:
        self._source, self._target = source, target
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._later: deque[dict[str, Any]] = deque()
        """Calls that came while a box was waited for."""
        self._cancelled: set[int] = set()
        self._current = 0
        self._sending = threading.Lock()

    def run(self, make_calls: Callable[[], Any]) -> None:
        """Serve until the window is gone."""
        threading.Thread(target=self._listen, daemon=True).start()
        calls = make_calls()
        self._send({"ready": True})
        while True:
            message = self._later.popleft() if self._later else self._inbox.get()
            if "method" in message:
                self._run_call(calls, message)

    def _listen(self) -> None:
        try:
            while (message := receive(self._source)) is not None:
                if "cancel" in message:
                    self._cancelled.add(message["cancel"])
                    if message["cancel"] != self._current:  # it waits for the call before it
                        self._send({"call": message["cancel"], "cancelled": True})
                self._inbox.put(message)
        finally:
            os._exit(0)  # nothing here is worth more than the time a step may take

    def _send(self, message: dict[str, Any]) -> None:
        with self._sending:
            send(self._target, message)

    def _run_call(self, calls: Any, message: dict[str, Any]) -> None:
        number = self._current = message["call"]

        def answer(**content: Any) -> None:
            self._send({"call": number, **content})

        def read(box: list[int]) -> Any:
            answer(read=box)
            while True:
                reply = self._inbox.get()
                if number in self._cancelled or reply.get("failed") == number:
                    raise _Cancelled
                if reply.get("box") == number:
                    return reply["pixels"]
                if "method" in reply:
                    self._later.append(reply)

        try:
            if number in self._cancelled:
                raise _Cancelled
            steps: Steps[Any] = getattr(calls, message["method"])(read, **message["arguments"])
            while True:
                try:
                    progress: Progress = next(steps)
                except StopIteration as stop:
                    answer(result=stop.value)
                    return
                if number in self._cancelled:
                    steps.close()
                    raise _Cancelled
                answer(progress=progress)
        except _Cancelled:
            answer(cancelled=True)
        except Exception as error:  # the process must outlive every call
            known = _as_known_error(error)
            answer(error=known, text=str(error))
            if known is None:
                traceback.print_exc()
        finally:
            self._cancelled.discard(number)


def _as_known_error(error: Exception) -> Exception | None:
    """Return an error as the window raises it; None for an unexpected one."""
    if isinstance(error, NotDownloadedError):
        return error
    if isinstance(error, WildsegError):
        return (InputError if isinstance(error, InputError) else WildsegError)(str(error))
    if out_of_memory(error):
        return MemoryError(str(error))
    return None
