"""What is done ahead of the first click: in which order, when, and that it disturbs nothing."""

from __future__ import annotations

import gc
import sys
from types import SimpleNamespace

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from napari_wildseg.gui import imports, warmup
from napari_wildseg.gui.idle import Hands
from napari_wildseg.gui.jobs.engine_jobs import EnginePool

MODULES = ("wildseg_first_of_test", "wildseg_second_of_test")


@pytest.fixture
def window(qtbot):
    """A window with a line to type in."""
    window = QWidget()
    qtbot.addWidget(window)
    QVBoxLayout(window).addWidget(QLineEdit(window))
    window.show()
    qtbot.waitExposed(window)
    return window


@pytest.fixture
def warm(window, clock, monkeypatch, tmp_path):
    """A warm-up of two small modules and a model that is only noted; a test says when it looks."""
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(warmup, "MODULES", MODULES)
    done: list[str] = []

    def load(pool):
        done.append("model")
        yield from ()

    monkeypatch.setattr(warmup, "_model_steps", load)
    state = SimpleNamespace(working=False, model="starter", done=done, said=[])
    made = warmup.WarmUp(
        window,
        EnginePool(),
        model=lambda: state.model,
        working=lambda: state.working,
        say=state.said.append,
    )
    made.begin()
    made._timer.setInterval(3_600_000)
    yield made, state
    made.stop()
    for name in MODULES:
        sys.modules.pop(name, None)


def look(warm, qtbot) -> None:
    """Let it look once, and wait for the end of what that started."""
    warm.look()
    qtbot.waitUntil(lambda: warm._job is None)


def test_stage_by_stage(warm, clock, qtbot):
    """Libraries in order, then the starter; then it is over."""
    warm, state = warm
    clock.now += warmup.REST
    look(warm, qtbot)
    assert MODULES[0] in sys.modules
    assert MODULES[1] not in sys.modules
    look(warm, qtbot)
    assert MODULES[1] in sys.modules
    assert state.done == []
    look(warm, qtbot)
    assert state.done == ["model"]
    assert warm.active
    look(warm, qtbot)
    assert state.done == ["model"]
    assert not warm.active
    assert state.said == []


def test_it_waits_while_hands_are_busy(warm, window, clock, qtbot):
    """A key puts the next stage off; the typed letter arrives."""
    warm, _ = warm
    clock.now += warmup.REST
    line = window.findChild(QLineEdit)
    qtbot.keyClick(window.windowHandle(), Qt.Key.Key_A)
    look(warm, qtbot)
    assert MODULES[0] not in sys.modules
    assert line.text() == "a" or not line.hasFocus()
    clock.now += warmup.REST
    look(warm, qtbot)
    assert MODULES[0] in sys.modules


def test_it_waits_while_a_run_is_under_way(warm, clock, qtbot):
    """The run makes ready what it needs, and nothing is left for later."""
    warm, state = warm
    clock.now += warmup.REST
    state.working = True
    look(warm, qtbot)
    assert MODULES[0] not in sys.modules
    for name in MODULES:
        list(imports.import_steps((name,)))
    state.working, state.model = False, "ViT-B-16/openai"
    look(warm, qtbot)
    assert warm.active, "the result is being looked at"
    clock.now += warmup.REST
    look(warm, qtbot)
    assert not warm.active
    assert state.done == [], "a model that is not part of the package is not loaded ahead"


def test_a_stage_that_fails_is_not_tried_again(warm, clock, qtbot, tmp_path):
    """The click will say what is wrong; until then nobody needs to know."""
    warm, state = warm
    (tmp_path / f"{MODULES[0]}.py").write_text("raise ImportError('broken')")
    clock.now += warmup.REST
    for _ in range(4):
        look(warm, qtbot)
    assert MODULES[0] not in sys.modules
    assert state.done == ["model"]


def test_a_run_that_waits_behind_a_stage_says_so(warm, clock, qtbot):
    warm, state = warm
    clock.now += warmup.REST
    warm.look()
    state.working = True
    qtbot.waitUntil(lambda: warm._job is None)
    assert state.said == ["Loading the libraries ..."]


def test_hands_listen_no_more_when_let_go(window, clock, qtbot):
    hands = Hands(window)
    clock.now += 5
    hands.let_go()
    qtbot.keyClick(window.windowHandle(), Qt.Key.Key_A)
    assert hands.rest_for(5)


def test_the_starter_is_tried_once(qtbot, starter, monkeypatch):
    """It is in the pool, as a run leaves it; where a run was quicker, nothing happens."""
    import napari_wildseg.engine.segmenter  # noqa: F401 - first imported below, it would keep what is put in

    monkeypatch.setattr("napari_wildseg.engine.models.load_model", lambda spec: starter)
    pool = EnginePool()
    stages = [progress.stage for progress in warmup._model_steps(pool)]
    assert stages[0] == "Loading the model starter"
    assert pool.models == {"starter": starter}
    assert list(warmup._model_steps(pool)) == []


def test_what_an_import_makes_counts_as_old(monkeypatch, tmp_path):
    """The frequent collections of young objects do not look at it; the full ones do."""
    before = gc.get_freeze_count()
    gc.unfreeze()  # what the tests set aside would be taken for somebody else's arrangement
    (tmp_path / "wildseg_big_of_test.py").write_text("things = [[] for _ in range(9000)]")
    monkeypatch.syspath_prepend(tmp_path)
    list(imports.import_steps(("wildseg_big_of_test",)))
    module = sys.modules.pop("wildseg_big_of_test")
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    young = {id(o) for generation in (0, 1) for o in gc.get_objects(generation)}
    assert not young & {id(o) for o in module.things}
    assert gc.is_tracked(module.things)
    if before:
        gc.freeze()


def test_opening_the_widget_loads_nothing_and_can_be_left_alone(desk, photo, monkeypatch):
    """It starts looking when it is shown, not before, and not at all if the preferences say so."""
    begun: list[bool] = []
    monkeypatch.setattr(warmup.WarmUp, "begin", lambda self: begun.append(True))
    d = desk(photo)
    assert not begun, "the viewer of the tests is not shown"
    d.viewer.window._qt_window.show()
    d.qtbot.waitUntil(lambda: bool(begun))
    d.viewer.window._qt_window.hide()


def test_the_preference_switches_it_off(desk, photo, monkeypatch):
    from dataclasses import replace

    begun: list[bool] = []
    monkeypatch.setattr(warmup.WarmUp, "begin", lambda self: begun.append(True))
    d = desk(photo)
    d.controller.settings = replace(d.controller.settings, prepare=False)
    d.viewer.window._qt_window.show()
    d.qtbot.waitExposed(d.widget)
    assert not begun
    d.viewer.window._qt_window.hide()
