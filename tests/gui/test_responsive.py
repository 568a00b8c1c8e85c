"""The window answers while the model works."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest
from qtpy.QtCore import QTimer

from napari_wildseg.gui.jobs import runner


class Watchdog:
    """Measures the longest time in which the event loop did not come round.

    Of that time no more counts than this process computed meanwhile: while the processor was with
    others, or the machine stood still, nothing here held the loop up.
    """

    def __init__(self, parent) -> None:
        self.reset()
        self._timer = QTimer(parent)
        self._timer.setInterval(2)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.perf_counter(), time.process_time()
        self.longest = max(self.longest, min(b - a for a, b in zip(self._last, now, strict=True)))
        self._last = now

    def reset(self) -> None:
        self.longest, self._last = 0.0, (time.perf_counter(), time.process_time())


# The promise is 50 ms on a machine that does nothing else (figures: docs/widget.md). Here other
# tests may run beside this one, so the limit only tells "frozen" from "not frozen": half a second,
# or on a machine on which everything takes longer a quarter of the whole run.
LIMIT = 0.5


def test_the_event_loop_keeps_turning(desk, qtbot, record_property):
    from skimage import data

    photo = np.ascontiguousarray(np.pad(data.coffee(), ((0, 80), (0, 40), (0, 0)), "reflect"))
    d = desk(photo, "cup of coffee, spoon, table")
    d.run("auto_segment")
    dog = Watchdog(d.widget)
    labels = d.layer()
    for action in ("refine", "auto_segment"):
        labels.paint((60, 60), 2)
        if action == "auto_segment":
            d.controller.session.plane_state(d.controller.plane).slot.empty()
        dog.reset()
        started = time.perf_counter()
        d.run(action)
        took = time.perf_counter() - started
        record_property(f"longest_gap_{action}", dog.longest)
        print(f"longest gap while {action} ran: {dog.longest * 1000:.0f} of {took * 1000:.0f} ms")
        assert dog.longest < max(LIMIT, took / 4)


def test_the_window_does_not_wait_for_the_disk(desk, photo, monkeypatch):
    """Which would take no time of the processor, so the watchdog would not see it."""
    at, fsync = [], os.fsync

    def noted(descriptor):
        at.append(threading.current_thread())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    d = desk(photo, "cup of coffee, table")
    d.run("auto_segment")
    d.layer().paint((30, 40), 2)
    d.run("refine")
    d.controller.autosave.store.flush()
    assert at, "what was painted was kept safe"
    assert threading.main_thread() not in at


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(2, 5))]
)
def test_cancel_at_random_moments(desk, photo, qtbot, seed, monkeypatch):
    """Ten runs each, stopped anywhere: nothing changes, the next run works."""
    monkeypatch.setattr(runner, "STATUS_INTERVAL", 0)  # moments are told by steps, not by the clock
    rng = np.random.default_rng(seed)
    d = desk(photo, "cup of coffee, spoon, table")
    d.run("auto_segment")
    labels = d.layer()
    labels.paint((30, 40), 2)
    before = labels.data.copy()
    for _ in range(10):
        d.click("refine" if rng.random() < 0.5 else "auto_segment")
        steps = int(rng.integers(0, 6))
        seen: list[object] = []
        d.controller.runner.status.connect(seen.append)
        qtbot.waitUntil(lambda n=steps, s=seen: len(s) >= n or not d.controller.working)
        d.controller.runner.status.disconnect(seen.append)
        if d.controller.runner.running:
            d.click("cancel")
            assert not d.controller.working, "nobody waits for the step under way"
            assert (labels.data == before).all()
        before = labels.data.copy()
    d.run("refine")
    assert labels.data[30, 40] == 2
