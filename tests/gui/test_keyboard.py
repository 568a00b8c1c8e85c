"""What the keyboard does."""

from __future__ import annotations

from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QShortcut

from .annotator import NAMES


def test_no_key_is_taken_from_napari(new_viewer, desk):
    from napari.layers import Layer
    from napari.utils.shortcuts import default_shortcuts
    from qtpy.QtGui import QKeySequence

    d = desk(viewer=new_viewer(show=True))
    ours = {s.key().toString() for s in d.widget.findChildren(QShortcut)}
    assert len(ours) == 17
    taken = [str(key) for keys in default_shortcuts.values() for key in keys]
    for keymap in (d.viewer.keymap, Labels.class_keymap, Layer.class_keymap, Image.class_keymap):
        taken += [str(key) for key in keymap]
    window = d.viewer.window._qt_window
    for action in window.findChildren(QAction):
        taken += [key.toString() for key in action.shortcuts()]
    for action in window.menuBar().actions():
        taken.append(QKeySequence.mnemonic(action.text()).toString())
    assert "Alt+F" in taken  # the File menu
    assert "Ctrl+Z" in taken
    assert not ours & {key.replace("Control", "Ctrl") for key in taken}


def test_keyboard(desk, photo):
    from napari_wildseg.gui.sections.edit_section import (
        CHANGES_KEY,
        CONFIRM_KEY,
        NEAR_KEY,
        REFINE_KEY,
    )
    from napari_wildseg.gui.sections.export_section import DONE_KEY
    from napari_wildseg.gui.sections.run_section import AUTO_SEGMENT_KEY

    ours = {AUTO_SEGMENT_KEY, REFINE_KEY, NEAR_KEY, CHANGES_KEY, CONFIRM_KEY, DONE_KEY}
    d = desk(photo, NAMES)
    # Without a window manager no window is active, so the keys are pressed by their signal.
    keys = {s.key().toString(): s for s in d.widget.findChildren(QShortcut)}
    assert set(keys) == ours | {"F1"} | {f"Alt+{number}" for number in range(10)}
    keys[AUTO_SEGMENT_KEY].activated.emit()
    d.wait()
    labels = d.layer()
    d.viewer.cursor.position = (30.0, 40.0)
    keys[CONFIRM_KEY].activated.emit()
    assert d.controller.session.corrections(d.controller.plane)[30, 40] == labels.data[30, 40]
    keys[REFINE_KEY].activated.emit()
    d.wait()
    assert "Refined" in d.status
    keys["Alt+2"].activated.emit()
    assert (labels.selected_label, labels.mode) == (2, "paint")
    keys["Alt+0"].activated.emit()
    assert labels.selected_label == 0
    keys["Alt+9"].activated.emit()
    assert labels.selected_label == 0, "there is no ninth class"
    keys["Alt+2"].activated.emit()
    hold = next(act for key, act in labels.keymap.items() if str(key) == "Q")
    held = hold(labels)
    next(held)
    assert (labels.selected_label, labels.mode) == (0, "paint")
    next(held, None)
    assert labels.selected_label == 2


def test_keys_are_heard_on_the_canvas(new_viewer, desk, photo, qtbot):
    """Real keys, pressed where the annotator's focus is while painting."""
    d = desk(photo, NAMES, viewer=new_viewer(show=True))
    window = d.viewer.window._qt_window
    canvas = d.viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    # Without a window manager the window has to ask for the keyboard itself.
    window.windowHandle().requestActivate()
    qtbot.waitUntil(window.isActiveWindow)
    qtbot.keyClick(window.windowHandle(), Qt.Key.Key_A, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: "Image labels" in d.viewer.layers)
    d.wait()
    labels = d.layer()
    d.viewer.cursor.position = (30.0, 40.0)
    qtbot.keyClick(window.windowHandle(), Qt.Key.Key_K, Qt.KeyboardModifier.AltModifier)
    assert d.controller.session.corrections(d.controller.plane)[30, 40] == labels.data[30, 40]
    qtbot.keyClick(window.windowHandle(), Qt.Key.Key_R, Qt.KeyboardModifier.AltModifier)
    d.wait()
    assert "Refined" in d.status
