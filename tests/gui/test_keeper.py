"""What is there to stay is looked at by no garbage collection; what is given up is let go."""

from __future__ import annotations

import gc
import sys
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy import API_NAME
from qtpy.QtCore import Qt

from napari_wildseg.gui import garbage, imports, keeper

napari_lets_go = pytest.mark.xfail(
    API_NAME == "PySide6",
    reason="napari's controls of a removed image, and with them the image, stay in memory with "
    "PySide6 (6.11.3, 6.12.0; napari 0.9.2), without any plugin too",
    strict=True,
)


@pytest.fixture(autouse=True)
def set_aside_again(set_aside):
    """`opened` puts back what the tests set aside; what is made after this test begins with it."""
    yield
    gc.freeze()


@pytest.fixture
def shown(desk, photo, qtbot, clock):
    """A desk whose window is shown, so that things are set aside."""
    d = opened(desk(photo), qtbot)
    look_for_earlier(d, clock, qtbot)
    yield d
    d.viewer.window._qt_window.hide()
    assert not garbage._aside


def opened(d, qtbot):
    """Show the window of a desk; moments of rest come when a test says so."""
    gc.unfreeze()  # what the tests set aside would be taken for somebody else's arrangement
    d.controller.settings = d.controller.settings.__class__(prepare=False)
    d.viewer.window._qt_window.show()
    qtbot.waitUntil(d.widget.isVisible)
    d.widget.keeper._timer.setInterval(3_600_000)
    return d


def look_for_earlier(d, clock, qtbot):
    """Have the hands rest for long enough to look for what was removed before the widget came."""
    clock.now += keeper.SHORT_REST
    d.widget.keeper.look()
    qtbot.waitUntil(lambda: not d.widget.keeper._search.isActive())


def test_hidden_while_it_looks_for_what_was_removed_earlier(desk, photo, clock, qtbot):
    d = opened(desk(photo), qtbot)
    clock.now += keeper.SHORT_REST
    d.widget.keeper.look()
    d.widget.keeper._find_removed()
    d.widget.keeper._find_removed()
    d.viewer.window._qt_window.hide()
    assert not d.widget.keeper._search.isActive()
    assert d.widget.keeper._found == []
    assert d.widget.keeper._earlier, "it looks again when it is shown again"


@pytest.fixture
def large(shown, monkeypatch):
    """A layer whose bytes are many, there before things were set aside."""
    layer = shown.viewer.add_image(np.zeros((64, 65)), name="large")
    monkeypatch.setattr(keeper, "LIMIT", layer.data.nbytes)
    garbage.set_aside()
    return weakref.ref(layer.data)


def looked_at() -> set[int]:
    """Return the objects that a collection would look at."""
    return {id(o) for o in gc.get_objects()}


def test_nothing_is_set_aside_while_the_widget_is_hidden(shown, qtbot):
    def known() -> bool:
        return id(shown.controller.__dict__) in looked_at()

    assert not known(), "the widget is shown"
    shown.viewer.window._qt_window.hide()
    qtbot.waitUntil(lambda: not shown.widget.isVisible())
    assert known()
    shown.viewer.window._qt_window.show()
    qtbot.waitUntil(shown.widget.isVisible)
    assert not known()


def test_a_second_widget_keeps_things_aside(shown):
    garbage.begin(-1)
    shown.widget.keeper.end()
    assert garbage._aside
    garbage.end(-1)
    assert not garbage._aside
    assert gc.get_freeze_count() == 0


def test_what_an_import_makes_is_looked_at_no_more(shown, monkeypatch, tmp_path):
    (tmp_path / "wildseg_kept_of_test.py").write_text("things = [[] for _ in range(9000)]")
    monkeypatch.syspath_prepend(tmp_path)
    list(imports.import_steps(("wildseg_kept_of_test",)))
    things = sys.modules.pop("wildseg_kept_of_test").things
    assert gc.isenabled()
    assert not looked_at() & {id(o) for o in things}


@napari_lets_go
def test_memory_of_a_large_layer_that_was_there_before_is_given_back(shown, large, clock, qtbot):
    shown.viewer.layers.remove("large")
    gc.collect()
    assert large() is not None, "nobody looks there"
    assert shown.widget.keeper.due
    clock.now += keeper.REST
    qtbot.keyClick(shown.viewer.window._qt_window.windowHandle(), Qt.Key.Key_Shift)
    shown.widget.keeper.look()
    assert large() is not None, "somebody is at work"
    clock.now += keeper.REST
    shown.widget.keeper.look()
    assert large() is None
    assert not shown.widget.keeper.due
    assert garbage._aside


def test_memory_is_not_looked_for_while_a_run_is_under_way(shown, large, clock):
    shown.viewer.layers.remove("large")
    shown.widget.keeper._working = lambda: True
    clock.now += keeper.REST
    shown.widget.keeper.look()
    assert large() is not None
    assert shown.widget.keeper.due


@napari_lets_go
def test_layers_that_came_later_do_not_cost_a_full_look(shown, clock, monkeypatch):
    layer = shown.viewer.add_image(np.zeros((64, 65)), name="later")
    monkeypatch.setattr(keeper, "LIMIT", layer.data.nbytes)
    monkeypatch.setattr(garbage, "look_through", lambda: pytest.fail("not needed"))
    data = weakref.ref(layer.data)
    del layer
    shown.viewer.layers.remove("later")
    clock.now += keeper.REST
    shown.widget.keeper.look()
    assert data() is None


@napari_lets_go
def test_a_large_layer_removed_while_the_widget_was_hidden(shown, large, clock, qtbot):
    shown.viewer.window._qt_window.hide()
    qtbot.waitUntil(lambda: not shown.widget.isVisible())
    shown.viewer.layers.remove("large")
    assert not shown.widget.keeper.due
    shown.viewer.window._qt_window.show()
    qtbot.waitUntil(shown.widget.isVisible)
    assert shown.widget.keeper.due
    clock.now += keeper.REST
    shown.widget.keeper.look()
    assert large() is None


def test_layers_that_were_removed_before_the_widget_came(
    desk, photo, clock, qtbot, monkeypatch, make_napari_viewer
):
    viewer, other = make_napari_viewer(), make_napari_viewer()
    kept = [v.add_image(np.zeros((64, 65)), name="kept").data for v in (viewer, other)]
    before = weakref.ref(viewer.add_image(np.zeros((64, 66)), name="before").data)
    assert before() is not None
    monkeypatch.setattr(keeper, "LIMIT", before().nbytes)
    gc.collect()  # so that nobody looks at it soon
    viewer.layers.remove("before")
    d = opened(desk(viewer=viewer), qtbot)
    assert not d.widget.keeper.due
    d.widget.keeper.look()
    assert d.widget.keeper._earlier, "the hands did not rest yet"
    look_for_earlier(d, clock, qtbot)
    found = {layer.name for layer in d.widget.keeper._removed}
    assert "kept" not in found, "what a viewer shows was not removed"
    assert d.widget.keeper.due
    assert before() is not None
    clock.now += keeper.REST
    d.widget.keeper.look()
    assert before() is None
    assert all(data.any() == 0 for data in kept)
    assert not d.widget.keeper.due
    viewer.window._qt_window.hide()


def test_opening_waits_for_no_full_collection(desk, photo, qtbot, monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(keeper, "gc", SimpleNamespace(collect=asked.append))
    d = opened(desk(photo), qtbot)
    assert asked == [1]
    assert garbage._aside
    assert d.widget.keeper._timer.isActive(), "what was removed earlier is looked for at rest"
    d.viewer.window._qt_window.hide()


def test_what_there_is_is_listed_as_the_widget_opens(desk, photo, qtbot, clock, monkeypatch):
    """Later there may be PyTorch, and the window is in use."""
    listed: list[int] = []
    get_objects = gc.get_objects
    monkeypatch.setattr(gc, "get_objects", lambda: listed.append(1) or get_objects())
    d = opened(desk(photo), qtbot)
    assert listed == [1]
    look_for_earlier(d, clock, qtbot)
    assert listed == [1]
    d.viewer.window._qt_window.hide()


def test_small_layers_are_no_reason(shown, clock):
    shown.viewer.layers.remove("Image")
    assert not shown.widget.keeper.due


def test_somebody_elses_arrangement_is_respected(monkeypatch):
    made: list[str] = []
    stand_in = SimpleNamespace(
        get_freeze_count=lambda: 5,
        freeze=lambda: made.append("freeze"),
        unfreeze=lambda: made.append("unfreeze"),
        collect=lambda: made.append("collect"),
    )
    monkeypatch.setattr(garbage, "gc", stand_in)
    garbage.begin(-1)
    garbage.look_through()
    garbage.end(-1)
    assert made == ["collect"]
