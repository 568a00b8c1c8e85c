"""One thread, in order, stopped between steps."""

from __future__ import annotations

import threading

import pytest

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui.jobs.worker_thread import Job, Worker


@pytest.fixture
def worker(qtbot):
    made = Worker()
    yield made
    made.stop()


def counting(n, seen, value="done"):
    for i in range(n):
        seen.append((value, i, threading.current_thread().name))
        yield Progress(i, n, f"step {i}")
    return value


def test_jobs_run_in_order_on_one_other_thread(worker, qtbot):
    seen, results, ends = [], [], []
    for value in "abc":
        job = Job(lambda v=value: counting(3, seen, v), on_result=results.append)
        job.on_end = lambda v=value: ends.append(v)
        worker.submit(job)
    qtbot.waitUntil(lambda: len(ends) == 3)
    assert results == ["a", "b", "c"]
    assert [v for v, _, _ in seen] == list("aaabbbccc")
    assert {name for _, _, name in seen} == {"wildseg-worker"}


def test_callbacks_come_on_the_gui_thread(worker, qtbot):
    threads = []
    job = Job(lambda: counting(1, []))
    job.on_progress = lambda p: threads.append(threading.current_thread())
    job.on_result = lambda r: threads.append(threading.current_thread())
    job.on_end = lambda: threads.append(threading.current_thread())
    worker.submit(job)
    qtbot.waitUntil(lambda: len(threads) == 3)
    assert set(threads) == {threading.main_thread()}


def test_cancel_stops_at_the_next_step_and_closes_the_generator(worker, qtbot):
    begun, go, closed, told, ended = *(threading.Event() for _ in range(3)), [], []

    def endless():
        begun.set()
        try:
            for i in range(10**9):
                go.wait()
                yield Progress(i, 0, "on and on")
        finally:
            closed.set()

    job = Job(endless, on_progress=told.append, on_result=told.append)
    job.on_end = lambda: ended.append(True)
    worker.submit(job)
    assert begun.wait(60)
    job.cancel()
    go.set()
    qtbot.waitUntil(lambda: bool(ended))
    assert closed.is_set()
    assert told == []


def test_cancelled_before_it_started(worker, qtbot):
    seen, ended = [], []
    job = Job(lambda: counting(3, seen))
    job.on_end = lambda: ended.append(True)
    job.cancel()
    worker.submit(job)
    qtbot.waitUntil(lambda: bool(ended))
    assert seen == []


def test_an_error_is_handed_over_and_the_thread_lives_on(worker, qtbot):
    errors, results = [], []

    def broken():
        yield Progress(0, 1, "about to fail")
        raise InputError("The image is empty.")

    worker.submit(Job(broken, on_error=errors.append))
    worker.submit(Job(lambda: counting(1, []), on_result=results.append))
    qtbot.waitUntil(lambda: bool(results))
    assert str(errors[0]) == "The image is empty."


def test_ended_jobs_hold_nothing(worker, qtbot):
    ended = []
    job = Job(lambda: counting(1, []), on_result=lambda r: None)
    job.on_end = lambda: ended.append(True)
    worker.submit(job)
    qtbot.waitUntil(lambda: bool(ended))
    assert job.on_result is None
    assert job.on_end is None
