"""The window's side: starts the engine process, asks it, and ends it when it does not answer.

One thread at a time may have a call under way. A thread of its own reads what the process sends,
since a pipe cannot be waited for with a limit on every system.
"""

from __future__ import annotations

import atexit
import itertools
import os
import queue
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.process.messages import receive, send

PACE = 0.02
"""Seconds after which a call that waits yields, so that a cancel is noticed."""

GRACE = 0.8
"""Seconds the process has to answer a cancel before it is ended."""

STARTING = Progress(0, 0, "Starting the engine")

ENDED = (
    "The engine stopped: labels and corrections are as they were. Run it again; if it stops "
    "again, use a smaller image or model."
)

ReadBox = Callable[[tuple[slice, slice]], Any]

_ALL: weakref.WeakSet[Engine] = weakref.WeakSet()


class EngineEndedError(WildsegError):
    """The engine process ended while it worked; only its run is lost."""


class EngineError(RuntimeError):
    """The engine process met an unexpected error; the message names it."""


class _Child:
    """One process, its pipes, and what it has sent."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self.inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.ready = False
        self.memory = 0
        """Number of the class memory that it holds."""
        self._sending = threading.Lock()
        threading.Thread(target=self._listen, name="wildseg-engine", daemon=True).start()

    def _listen(self) -> None:
        stdout: Any = self.process.stdout
        try:
            while (message := receive(stdout)) is not None:
                if "ready" in message:
                    self.ready = True
                else:
                    self.inbox.put(message)
        except (OSError, ValueError):
            pass
        except BaseException:  # a message that cannot be read: no other can be trusted
            self.process.kill()
            raise
        finally:
            self.inbox.put(None)
        stdout.close()

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; a process that is gone is noticed where its answer is read."""
        stdin: Any = self.process.stdin
        with self._sending, suppress(OSError, ValueError):
            send(stdin, message)

    def next(self, seconds: float) -> dict[str, Any] | None:
        """Return the next message, None if there is none in time."""
        try:
            message = self.inbox.get(timeout=seconds)
        except queue.Empty:
            return None
        if message is None:
            self.inbox.put(None)
            raise EngineEndedError(_end_message(self.process.wait()))
        return message

    def end(self) -> None:
        """End the process; more than once is harmless."""
        self.process.kill()
        self.process.wait()
        with self._sending, suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()


class Engine:
    """The engine process, started when it is needed, and started anew after it ended."""

    def __init__(self, threads: int = 0, *, command: Sequence[str] = ()) -> None:
        module = "napari_wildseg.process"
        self._command = list(command) or [sys.executable, "-P", "-m", module, str(threads)]
        self._child: _Child | None = None
        self._calls = itertools.count(1)
        self._starting = threading.Lock()
        self._warming = 0
        """Number of the call that tries a model, until there is another call."""
        self.generation = 0
        """Counts the processes; what an earlier one held is gone."""
        _ALL.add(self)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child is not None and self._child.process.poll() is None

    @property
    def pid(self) -> int | None:
        """The id of the process that runs, if one does."""
        return self._child.process.pid if self._child is not None and self.alive else None

    def start(self) -> _Child:
        """Start the process unless it runs; it loads the libraries by itself."""
        with self._starting:
            if self._child is None or self._child.process.poll() is not None:
                self._end()
                self._child = _Child(self._command)
                self.generation += 1
            return self._child

    def stop(self) -> None:
        """End the process, and with it the model and what it holds; any thread may call."""
        with self._starting:
            self._end()

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def warm(self, model: str) -> None:
        """Start the process and have it load and try a model, until a call needs the process."""
        child = self.start()
        self._warming = self._ask(child, "warm", {"model": model})

    def drop(self, planes: list[int]) -> None:
        """Have the process give up planes, without waiting for it."""
        child = self._child
        if child is not None and self.alive and planes:
            self._ask(child, "drop", {"planes": planes})

    def _ask(self, child: _Child, method: str, arguments: dict[str, Any]) -> int:
        number = next(self._calls)
        child.send({"call": number, "method": method, "arguments": arguments})
        return number

    def hold_memory(self, number: int, data: bytes) -> None:
        """Have the process hold a class memory, without waiting for it, unless it holds it."""
        child = self.start()
        if child.memory != number:
            self._ask(child, "hold_memory", {"number": number, "data": data})
            child.memory = number

    def call(self, method: str, read: ReadBox | None = None, /, **arguments: Any) -> Steps[Any]:
        """Have a method of `napari_wildseg.process.calls.Calls` carried out."""
        child = self.start()
        if self._warming:
            child.send({"cancel": self._warming})
            self._warming = 0
        number = self._ask(child, method, arguments)
        progress = STARTING
        ended = False
        try:
            while True:
                message = child.next(PACE)
                if message is None:
                    yield progress
                    continue
                if message["call"] != number:
                    continue  # the rest of a call that was cancelled, or one nobody waits for
                if "progress" in message:
                    progress = message["progress"]
                    yield progress
                elif "read" in message:
                    self._serve(child, number, message["read"], read)
                else:
                    ended = True
                    return _outcome(message)
        except EngineEndedError:
            ended = True
            raise
        finally:
            if not ended:
                self._cancel(child, number)

    @staticmethod
    def _serve(child: _Child, number: int, box: list[int], read: ReadBox | None) -> None:
        assert read is not None
        try:
            pixels = np.asarray(read((slice(*box[:3]), slice(*box[3:]))))
        except BaseException:
            child.send({"failed": number})
            raise
        child.send({"box": number, "pixels": pixels})

    def _cancel(self, child: _Child, number: int) -> None:
        child.send({"cancel": number})
        limit = time.monotonic() + GRACE
        while time.monotonic() < limit:
            if not child.ready:
                return  # it has not begun with the call, and will not
            try:
                message = child.next(max(0.0, limit - time.monotonic()))
            except EngineEndedError:
                return
            if message is None or message["call"] != number:
                continue
            if not {"progress", "read"} & message.keys():  # its last
                return
        child.end()


def _outcome(message: dict[str, Any]) -> Any:
    """Return the result that a message holds, or raise the error."""
    if "result" in message:
        return message["result"]
    raise message["error"] or EngineError(message["text"])


def _end_message(status: int) -> str:
    """Return what to tell the annotator when the process ended by itself."""
    if status in (-9, 137):
        return ENDED.replace("stopped:", "was killed, probably for lack of memory:")
    return ENDED


def _environment() -> dict[str, str]:
    """Return the environment of the child, which finds this very package."""
    place = str(Path(__file__).parents[2])
    paths = [place, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@atexit.register
def _stop_all() -> None:
    for engine in list(_ALL):
        engine.stop()
