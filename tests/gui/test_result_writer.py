"""Results come into the label layers band by band, and nobody ever meets half of one."""

from __future__ import annotations

import time

import numpy as np
import pytest
from napari.layers import Labels

from napari_wildseg.gui.annotation.decisions import UNLABELLED
from napari_wildseg.gui.annotation.session import LABELS, ImageSession
from napari_wildseg.gui.annotation.tracked_layer import TrackedLayer
from napari_wildseg.gui.jobs.engine_jobs import Outcome
from napari_wildseg.gui.layers import long_write
from napari_wildseg.gui.layers.display import Plane
from napari_wildseg.gui.layers.result_writer import PendingResult

from .test_responsive import Watchdog

PLANE = Plane((None, None))


@pytest.fixture
def half_written(qapp, monkeypatch):
    """A layer of 20 x 20 zeros in which ones are being written, 100 pixels a turn."""
    monkeypatch.setattr(long_write, "BAND", 100)
    layer = Labels(np.zeros((20, 20), np.uint8))
    ours = TrackedLayer(layer)
    layer.events.paint.connect(lambda event: ours.note_paint())
    layer.events.set_data.connect(lambda event: ours.note_refresh())
    ended = []
    snapshot = ours.snapshot(PLANE)
    ours.carry_out(PLANE, snapshot.plan(np.ones((20, 20), np.uint8)), ended.append)
    assert (layer.data == 1).sum() == 100
    assert not ended
    return ours, layer, ended


def test_the_rest_follows_as_one_undo_step(half_written, qtbot):
    ours, layer, ended = half_written
    qtbot.waitUntil(lambda: bool(ended))
    assert ended == [None]
    assert (layer.data == 1).all()
    layer.undo()
    assert (layer.data == 0).all()
    assert (ours.decided(PLANE) == UNLABELLED).all()
    layer.redo()
    assert (layer.data == 1).all()
    assert (ours.decided(PLANE) == UNLABELLED).all()


def test_an_undo_half_way_takes_the_result_back(qapp, monkeypatch, qtbot):
    monkeypatch.setattr(long_write, "BAND", 100)
    layer = Labels(np.zeros((20, 20), np.uint8))
    ours, ended = TrackedLayer(layer), []
    ours.write(PLANE, np.full((20, 20), 3, np.uint8))
    assert (layer.data == 3).all()
    plan = ours.snapshot(PLANE).plan(np.ones((20, 20), np.uint8))
    ours.carry_out(PLANE, plan, ended.append)
    layer.undo()
    qtbot.waitUntil(lambda: bool(ended))
    assert str(ended[0]) == long_write.CHANGED
    assert (layer.data == 0).all()
    assert (ours.decided(PLANE) == UNLABELLED).all(), "the earlier result is undone, as followed"


def test_a_stroke_of_a_script_half_way_stays(half_written, qtbot):
    """One of the mouse has the result written first."""
    ours, layer, ended = half_written
    layer.brush_size = 3
    layer.paint((15, 15), 2)
    layer.paint((1, 1), 2)
    qtbot.waitUntil(lambda: bool(ended))
    assert str(ended[0]) == long_write.CHANGED
    assert set(np.unique(layer.data)) == {0, 2}
    assert (ours.decided(PLANE) == 2).sum() == (layer.data == 2).sum() == 18


def test_a_view_that_moves_half_way_changes_nothing(half_written, qtbot):
    _, layer, ended = half_written
    layer.refresh()
    qtbot.waitUntil(lambda: bool(ended))
    assert ended == [None]
    assert (layer.data == 1).all()
    assert not {"undo", "paint", "data_setitem"} & set(vars(layer)), "nothing is replaced"


def test_who_asks_for_decisions_half_way_hears_of_none(half_written):
    ours, layer, ended = half_written
    assert (ours.decided(PLANE) == UNLABELLED).all()
    assert ended == [None]
    assert (layer.data == 1).all()


def test_a_layer_given_other_pixels_half_way_is_left_alone(half_written, qtbot):
    _ours, layer, ended = half_written
    layer.data = np.full((20, 20), 3, np.uint8)
    qtbot.waitUntil(lambda: bool(ended))
    assert (layer.data == 3).all()


def test_a_layer_converted_half_way_gets_the_whole_result(half_written, qtbot):
    ours, layer, ended = half_written
    layer.data = layer.data.astype(np.int32)
    qtbot.waitUntil(lambda: bool(ended))
    assert (layer.data == 1).all()
    assert (ours.decided(PLANE) == UNLABELLED).all()


def test_what_cannot_be_written_changes_nothing(half_written, monkeypatch):
    ours, layer, ended = half_written
    plain, calls = Labels.data_setitem, []

    def fails_once(self, *args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise MemoryError
        plain(self, *args, **kwargs)

    monkeypatch.setattr(Labels, "data_setitem", fails_once)
    ours.settle()
    assert isinstance(ended[0], MemoryError)
    assert (layer.data == 0).all()
    assert (ours.decided(PLANE) == UNLABELLED).all()
    for again in (layer.undo, layer.redo):
        again()
        assert (layer.data == 0).all()


@pytest.mark.parametrize("side", [2048, pytest.param(4096, marks=pytest.mark.nightly)])
def test_a_large_result_leaves_the_window_free(desk, qtbot, record_property, side):
    """All pixels change: the window waits for a small part of what that takes."""
    d = desk(np.zeros((side, side), np.uint8), "a, b")
    controller = d.controller
    controller.autosave.store = None
    session, plane = controller.session, controller.plane
    rng = np.random.default_rng(0)
    done: list[object] = []

    def take(value: int) -> None:
        tiles = rng.integers(0, 2, (64, 64)).astype(np.uint8) + np.uint8(value)
        labels = np.kron(tiles, np.ones((side // 64, side // 64), np.uint8))
        outcome = Outcome(labels, labels, (), {}, {}, "starter")
        done.clear()
        controller.result_writer.start(PendingResult("Test", session, plane, outcome, done.append))
        qtbot.waitUntil(lambda: bool(done))

    take(0)
    layer = session.layer(LABELS)
    layer.paint((50, 50), 1)
    dog = Watchdog(d.widget)
    started = time.perf_counter()
    take(1)
    took = time.perf_counter() - started
    record_property("longest_gap", dog.longest)
    print(f"longest gap {dog.longest * 1000:.0f} ms, all {took * 1000:.0f} ms")
    assert layer.data[50, 50] == 1
    # A ratio, so that a busy machine does not matter; on an idle one the gap is 40 ms of
    # 800 with 4096 x 4096 pixels.
    assert dog.longest < max(0.25, took / 2)


def test_a_run_that_nobody_disturbs_notes_the_plane_once(desk, photo, monkeypatch):
    """Of a large plane, each note is a copy of many megabytes on the GUI thread."""
    d = desk(photo, "cup of coffee, table")
    d.run("auto_segment")
    noted, note = [], ImageSession.snapshots
    monkeypatch.setattr(
        ImageSession, "snapshots", lambda self, plane: noted.append(plane) or note(self, plane)
    )
    d.run("refine")
    assert len(noted) == 1
