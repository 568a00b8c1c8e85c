"""A keyboard user sees where they are, and Tab goes where the eye goes next."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtWidgets import QApplication, QDialog, QHBoxLayout, QPushButton, QWidget

from napari_wildseg.gui.controls.focus import FocusMark

LOOP = """image model new_class suggest classes suggestion suggestion auto_segment
more refine_at_once memory memory_more open_project fold_tools screen_brush
fold_vocabulary_section
fold_stack carry_to_previous carry_to_next carry_to_first carry_to_last fold_batch fold_review
help"""


@pytest.fixture
def shown(new_viewer, desk, photo, qtbot):
    """The widget in a window that has the keyboard, though there is no window manager."""
    d = desk(photo, "cup, spoon", viewer=new_viewer(show=True))
    window = d.viewer.window._qt_window
    window.windowHandle().requestActivate()
    qtbot.waitUntil(window.isActiveWindow)
    return d


def edge(d, control):
    """Return the colours along the upper edge of a control, as drawn."""
    picture = d.widget.grab().toImage()
    density = picture.devicePixelRatio()
    left = control.mapTo(d.widget, QPoint(0, 0)) * density
    middle = range(left.x() + 8, left.x() + int(control.width() * density) - 8)
    return {picture.pixelColor(x, left.y() + 1).name() for x in middle}


def test_tab_goes_through_the_controls_as_they_are_laid_out(shown, qtbot):
    d = shown
    d.controller.session.suggestions = [("dog", 0.5), ("cat", 0.4)]
    d.controller.classes_changed.emit()
    d.control("fold_tools").setChecked(True)
    d.control("fold_stack").setChecked(True)
    d.control("image").setFocus(Qt.FocusReason.TabFocusReason)
    seen = []
    while d.widget.isAncestorOf(now := QApplication.focusWidget()) and len(seen) < 40:
        seen.append(
            "suggestion" if now.parent() is d.widget.names.suggestions else now.objectName()
        )
        assert d.widget.focus_mark.marked is now
        assert d.widget.focus_mark.isVisible()
        on_screen = QRect(now.mapToGlobal(QPoint(0, 0)), now.size())
        mark = d.widget.focus_mark
        assert QRect(mark.mapToGlobal(QPoint(0, 0)), mark.size()) == on_screen
        qtbot.keyClick(now, Qt.Key.Key_Tab)
    assert seen == LOOP.split()
    assert not d.widget.focus_mark.isVisible(), "the focus has left the widget"


def test_the_mark_is_seen_in_both_themes(shown):
    d = shown
    d.wait()
    d.widget.run.offer(True)
    for name in ("auto_segment", "classes", "more", "threshold"):
        control = d.control(name)
        control.setFocus(Qt.FocusReason.TabFocusReason)
        seen = []
        for theme in ("dark", "light", "dark"):  # the theme changes under the mark
            d.viewer.theme = theme
            QApplication.processEvents()
            text = control.palette().windowText().color()
            assert edge(d, control) == {text.name()}, name
            seen.append(text.lightness())
        assert seen[0] == seen[2] > 200
        assert seen[1] < 60
        control.clearFocus()
        QApplication.processEvents()
        assert edge(d, control) != {text.name()}


def test_a_click_leaves_no_mark(shown, qtbot):
    d = shown
    d.wait()
    d.widget.edit.offer(True)  # as once there are labels
    d.control("refine").setFocus(Qt.FocusReason.TabFocusReason)
    assert d.widget.focus_mark.isVisible()
    qtbot.mouseClick(d.control("confirm_region"), Qt.MouseButton.LeftButton)
    assert d.control("confirm_region").hasFocus()
    assert not d.widget.focus_mark.isVisible()


def test_the_mark_goes_along_and_outlives_what_it_marked(qtbot):
    root = QDialog()
    qtbot.addWidget(root)
    row = QHBoxLayout(root)
    buttons = [QPushButton(text, root) for text in ("one", "two")]
    for button in buttons:
        row.addWidget(button)
    mark = FocusMark(root)
    root.resize(300, 80)
    root.show()
    mark.follow(None, buttons[0])
    root.resize(500, 90)
    qtbot.waitUntil(lambda: buttons[0].width() > 200)
    assert mark.geometry() == buttons[0].geometry()
    buttons[0].move(2, 5)
    assert mark.pos() == QPoint(2, 5)
    buttons[0].hide()
    assert not mark.isVisible()
    buttons[0].show()
    assert mark.isVisible()
    buttons[0].deleteLater()
    qtbot.waitUntil(lambda: mark.marked is None)
    assert not mark.isVisible()
    mark.follow(None, buttons[1])
    assert mark.isVisible()
    other = QWidget()
    qtbot.addWidget(other)
    mark.follow(buttons[1], other)
    assert not mark.isVisible(), "another window's control"
