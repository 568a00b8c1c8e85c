"""Windows are drawn when it suits, and then no more of them than has changed."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QObject
from qtpy.QtGui import QMovie
from qtpy.QtWidgets import QApplication, QLabel, QMainWindow, QVBoxLayout, QWidget

from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui import activity, painting


class Paints(QObject):
    """Notes which widgets are painted."""

    def __init__(self):
        super().__init__()
        self.seen: list[QObject] = []

    def eventFilter(self, watched, event):  # noqa: N802
        if event.type() == QEvent.Type.Paint:
            self.seen.append(watched)
        return False


@pytest.fixture
def window(qtbot):
    """A window with two labels."""
    window = QMainWindow()
    inner = QWidget(window)
    column = QVBoxLayout(inner)
    window.labels = [QLabel(text, inner) for text in ("one", "two")]
    window.paints = Paints()
    for label in window.labels:
        column.addWidget(label)
        label.installEventFilter(window.paints)
    window.setCentralWidget(inner)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    qtbot.waitUntil(lambda: len(window.paints.seen) >= 2)
    window.paints.seen.clear()
    return window


def turns(count: int = 5) -> None:
    for _ in range(count):
        QApplication.processEvents()


def test_what_has_changed_is_drawn_afterwards_and_nothing_else(window, qtbot):
    one, two = window.labels
    go_on = painting.hold_painting()
    one.setText("changed")
    turns()
    one.setText("changed twice")
    turns()
    assert window.paints.seen == []
    go_on()
    qtbot.waitUntil(lambda: one in window.paints.seen)
    turns()
    assert two not in window.paints.seen, "the whole window takes twice as long"
    window.paints.seen.clear()
    two.setText("later")
    qtbot.waitUntil(lambda: two in window.paints.seen)


def test_nothing_is_drawn_until_the_last_of_several_has_let_go(window, qtbot):
    first, second = painting.hold_painting(), painting.hold_painting()
    window.labels[0].setText("changed")
    turns()
    first()
    turns()
    assert window.paints.seen == []
    second()
    qtbot.waitUntil(lambda: window.labels[0] in window.paints.seen)


def test_a_window_that_comes_meanwhile_is_drawn(window, qtbot):
    go_on = painting.hold_painting()
    dialog = QLabel("a dialog")
    paints = Paints()
    dialog.installEventFilter(paints)
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.waitUntil(lambda: bool(paints.seen))
    paints.seen.clear()
    dialog.setText("changed")
    qtbot.waitUntil(lambda: bool(paints.seen))
    go_on()


def test_a_window_that_goes_meanwhile_is_no_trouble(window):
    go_on = painting.hold_painting()
    window.close()
    window.setCentralWidget(None)
    turns()
    go_on()
    turns()


def test_canvases_are_drawn_out_of_sight_and_wait_when_they_get_another_size(
    make_napari_viewer, qtbot
):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.zeros((40, 50)))
    window = viewer.window._qt_window
    qtbot.waitExposed(window)
    (canvas,) = painting.canvases_of(window)
    turns()
    drawn: list[object] = []
    viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(drawn.append)
    go_on = painting.hold_painting()
    window.resize(window.width(), window.height() - 40)
    canvas.update()
    turns()
    assert drawn == []
    painting.draw_canvases()
    assert len(drawn) == 1
    turns()
    assert len(drawn) == 1
    go_on()
    qtbot.waitUntil(lambda: len(drawn) >= 2)
    assert canvas.updatesEnabled()


def movies_of(viewer):
    labels = viewer.window._qt_window.statusBar().findChildren(QLabel)
    return [label.movie() for label in labels if label.movie() is not None]


def test_napari_s_spinner_stands_still_while_a_job_has_its_bar(
    make_napari_viewer, monkeypatch, qtbot
):
    """Each of its pictures has the whole window composed anew."""
    viewer = make_napari_viewer()
    monkeypatch.setattr(activity, "PATIENCE", 0)
    shown = activity.Activity("Auto-segment", lambda: None)
    shown.show(Progress(1, 3, "Encoding"))
    states = [QMovie.MovieState.Paused]
    qtbot.waitUntil(lambda: [movie.state() for movie in movies_of(viewer)] == states)
    shown.show(Progress(2, 3, "Encoding"))
    assert [movie.state() for movie in movies_of(viewer)] == states
    shown.close()
    # Whether it is shown at all is napari's affair again.
    assert [movie.state() for movie in movies_of(viewer)] != states


@pytest.mark.parametrize("leave", ["window", "program"])
def test_a_hold_ends_with_its_window_and_with_the_program(window, qtbot, leave):
    """Qt must not ask an object that Python has given up."""
    go_on = painting.hold_painting()
    window.labels[0].setText("changed")
    if leave == "window":
        window.close()
        window.show()
    else:
        painting._end_all()
    qtbot.waitUntil(lambda: window.labels[0] in window.paints.seen)
    assert not painting._HOLDS
    go_on()  # what began it knows nothing of that
    turns()
