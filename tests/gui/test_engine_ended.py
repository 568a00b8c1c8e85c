"""The engine process is killed, or has no memory: its run is lost, nothing of the annotator's."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_wildseg.gui.jobs import runner

from .annotator import NAMES, paint, wrong_spot


@pytest.mark.parametrize("moments", [1, pytest.param(20, marks=pytest.mark.nightly)])
@pytest.mark.skipif(sys.platform == "win32", reason="the signal is one of POSIX")
def test_a_killed_engine_costs_its_run_only(desk, photo, qtbot, engine, monkeypatch, moments):
    monkeypatch.setattr(runner, "STATUS_INTERVAL", 0)  # moments are told by steps, not by the clock
    rng = np.random.default_rng(0)
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels = d.layer()
    painted = paint(labels, wrong_spot(labels, 2), 2)
    for _ in range(moments):
        before = labels.data.copy()
        seen: list[object] = []
        d.controller.runner.status.connect(seen.append)
        d.click("refine" if rng.random() < 0.5 else "auto_segment")
        steps = int(rng.integers(1, 6))
        qtbot.waitUntil(lambda n=steps, s=seen: len(s) >= n or not d.controller.working)
        d.controller.runner.status.disconnect(seen.append)
        if d.controller.runner.running and engine.alive:
            os.kill(engine.pid, signal.SIGKILL)
            d.wait()
            if "was killed" in d.status:
                assert "labels and corrections are as they were" in d.status
                assert (labels.data == before).all()
        assert (labels.data[painted] == 2).all()
    d.run("refine")
    assert "Refined" in d.status
    assert (labels.data[painted] == 2).all()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is one of Linux")
def test_an_engine_without_memory_costs_its_run_only(desk, photo, engine):
    import resource

    d = desk(photo, NAMES, name="small")
    d.run("auto_segment")
    before = d.layer().data.copy()
    large = d.viewer.add_image(np.tile(photo, (3, 3, 1)), name="large")
    d.controller.choose_image(large)
    pages = int(Path(f"/proc/{engine.pid}/statm").read_text().split()[0])
    used = pages * resource.getpagesize()
    limits = resource.prlimit(engine.pid, resource.RLIMIT_AS)
    resource.prlimit(engine.pid, resource.RLIMIT_AS, (used + 2**20, limits[1]))
    try:
        d.run("auto_segment")
    finally:
        if engine.alive:
            resource.prlimit(engine.pid, resource.RLIMIT_AS, limits)
    # Three sentences, by what asked for memory: a view, something else, or what ends the process.
    assert "memory" in d.status or "engine stopped" in d.status
    assert "large labels" not in d.viewer.layers
    assert (d.viewer.layers["small labels"].data == before).all()
    d.run("auto_segment")
    assert "large labels" in d.viewer.layers
