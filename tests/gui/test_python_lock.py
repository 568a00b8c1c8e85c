"""Python's lock goes to the GUI thread while a job runs."""

from __future__ import annotations

import sys
import threading

import pytest

from napari_wildseg.gui import imports, python_lock
from napari_wildseg.gui.python_lock import (
    Courtesy,
    give_way,
    giving_way_between_imports,
    short_turns,
)


class Clock:
    """Sleeps as long as it is told to and later by what is on the list."""

    def __init__(self, late: list[float]) -> None:
        self.now, self.slept, self._late = 0.0, 0, late

    def perf_counter(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds + self._late[min(self.slept, len(self._late) - 1)]
        self.slept += 1


def test_the_lock_is_offered_until_nobody_wants_it(monkeypatch):
    clock = Clock([python_lock.TURN, 2 * python_lock.TURN, python_lock.TURN, 0.0])
    monkeypatch.setattr(python_lock, "time", clock)
    assert give_way() == pytest.approx(clock.now)
    assert clock.slept == 4


def test_a_thread_that_never_rests_does_not_stop_the_job(monkeypatch):
    clock = Clock([python_lock.TURN])
    monkeypatch.setattr(python_lock, "time", clock)
    assert 0.05 <= give_way(longest=0.05) < 0.052


def test_a_job_of_short_steps_gets_half_of_the_time(monkeypatch):
    """Where another thread never rests; a tenth of a second may be given away before."""
    clock = Clock([python_lock.TURN])
    monkeypatch.setattr(python_lock, "time", clock)
    courtesy = Courtesy()
    for _ in range(1000):
        clock.now += 0.002  # the step
        courtesy.give_way()
    assert 1.8 < clock.now - 2.0 < 2.9


def test_a_short_claim_is_met_at_once(monkeypatch):
    """A window that is drawn for 50 ms need not share them with the next step."""
    clock = Clock([python_lock.TURN] * 60 + [0.0])
    monkeypatch.setattr(python_lock, "time", clock)
    courtesy = Courtesy()
    clock.now += 0.002
    courtesy.give_way()
    assert clock.slept == 61


def test_who_works_meanwhile_gets_on():
    """With real threads: the one that gives way gets to run as well."""
    stop, counted = threading.Event(), 0

    def count() -> None:
        nonlocal counted
        while not stop.is_set():
            counted += 1

    busy = threading.Thread(target=count)
    with short_turns():
        busy.start()
        try:
            before = counted
            while counted - before < 1000:
                give_way()
        finally:
            stop.set()
            busy.join()


@pytest.fixture
def given(monkeypatch):
    """Note on which threads way was given."""
    threads: list[threading.Thread] = []

    def noted(longest: float) -> float:
        threads.append(threading.current_thread())
        return 0.0

    monkeypatch.setattr(python_lock, "give_way", noted)
    return threads


@pytest.fixture
def package(monkeypatch, tmp_path):
    """A package of three modules, each of which takes a while."""
    folder = tmp_path / "wildseg_slow_of_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("from wildseg_slow_of_test import a, b")
    for name in "ab":
        (folder / f"{name}.py").write_text(
            "from time import perf_counter\n"
            "until = perf_counter() + 0.004\n"
            "while perf_counter() < until: pass"
        )
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    for name in list(sys.modules):
        if name.startswith(folder.name):
            del sys.modules[name]


def test_way_is_given_between_the_modules_of_an_import(given, package):
    before = list(sys.meta_path)
    list(imports.import_steps((package,)))
    assert f"{package}.b" in sys.modules
    assert given
    assert sys.meta_path == before


def test_not_after_every_small_module(given, package):
    with giving_way_between_imports(every=3600):
        __import__(package)
    assert not given


def test_other_threads_import_as_ever(given, package):
    with giving_way_between_imports(every=0):
        other = threading.Thread(target=__import__, args=(package,))
        other.start()
        other.join()
    assert f"{package}.b" in sys.modules
    assert not given


def test_a_broken_import_leaves_nothing_behind(given, monkeypatch, tmp_path):
    (tmp_path / "wildseg_broken_of_test.py").write_text("raise ImportError('broken')")
    monkeypatch.syspath_prepend(tmp_path)
    before = list(sys.meta_path)
    with pytest.raises(ImportError, match="broken"):
        list(imports.import_steps(("wildseg_broken_of_test",)))
    assert sys.meta_path == before
