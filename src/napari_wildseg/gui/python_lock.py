"""Who has Python's lock while a job runs: the GUI thread, as soon as it wants it.

One thread at a time runs Python. A thread that asks for the lock gets it after the switch interval,
from code that is between two instructions, and then has to give it back as soon: where the worker
imports a library, drawing the window takes twice as long and more. So turns are short while a job
runs, and the worker gives way wherever it can: between the modules of an import and between steps.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

TURN = 0.0005
"""Seconds a thread may keep the lock while a job runs, where another asks for it."""

_MOMENT = 0.0002
"""Seconds for which the lock is offered."""


@contextmanager
def short_turns(seconds: float = TURN) -> Iterator[None]:
    """Have Python's lock change hands sooner meanwhile, where the GUI thread waits for it.

    Python lets a thread that is at work keep the lock for 5 ms. The GUI thread asks for it again
    and again while it draws or lays something out: twenty times are a tenth of a second.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, seconds))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def give_way(longest: float = 0.1) -> float:
    """Let the other threads run Python until none wants to.

    The lock is offered for a moment. Who gets it back at once was alone; who has to ask for it
    interrupted somebody, and offers it again.

    Parameters
    ----------
    longest : float
        Seconds after which it is over at any rate, lest a thread that never rests stop the job.

    Returns
    -------
    float
        Seconds that were given away.
    """
    started = now = time.perf_counter()
    while now - started < longest:
        time.sleep(_MOMENT)
        offered, now = now, time.perf_counter()
        if now - offered < _MOMENT + TURN * 0.8:
            break
    return now - started


class Courtesy:
    """Gives way again and again, and does at least half of the time what it is there for.

    The window wants the lock for a tenth of a second now and then. Another library's thread may
    want it all the time, and must not keep a job of many short steps from its end.

    Parameters
    ----------
    most : float
        Seconds that are given away at once, where as many were worked before.
    """

    def __init__(self, most: float = 0.1) -> None:
        self._most = self._credit = most
        self._since = time.perf_counter()

    @property
    def worked(self) -> float:
        """Seconds since way was given last."""
        return time.perf_counter() - self._since

    def give_way(self) -> None:
        """Let the other threads run Python until none wants to, within what is left to give."""
        self._credit = min(self._most, self._credit + self.worked)
        self._credit -= give_way(self._credit)
        self._since = time.perf_counter()


class _BetweenModules(MetaPathFinder):
    """Finds nothing; gives way whenever a module is looked for on its thread."""

    def __init__(self, every: float) -> None:
        self._thread = threading.get_ident()
        self._every = every
        self._courtesy = Courtesy()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Give way, unless that was done just now."""
        if threading.get_ident() == self._thread and self._courtesy.worked > self._every:
            self._courtesy.give_way()
        return None


@contextmanager
def giving_way_between_imports(every: float = 0.002) -> Iterator[None]:
    """Give way before each module that is imported meanwhile on the calling thread.

    Parameters
    ----------
    every : float
        Least seconds of work between two times.
    """
    finder = _BetweenModules(every)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
