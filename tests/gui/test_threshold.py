"""The threshold slider."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_wildseg.engine.progress import drain
from napari_wildseg.gui.actions import threshold

from .annotator import NAMES


def test_threshold_is_live_and_one_undo_step(desk, photo, qtbot):
    d = desk(photo, NAMES)
    d.control("refine_at_once").setChecked(False)
    d.run("auto_segment")
    pseudo = d.layer(" pseudo-labels")
    before = pseudo.data.copy()
    for value in (0.6, 0.7, 0.8, 0.9):
        d.slide(value)
    changed = pseudo.data.copy()
    assert (changed != before).any()
    assert "Threshold 0.90" in d.status
    pseudo.undo()
    assert (pseudo.data == before).all()


def test_large_pseudo_labels_follow_when_the_slider_rests(desk, photo, qtbot, monkeypatch):
    monkeypatch.setattr(threshold, "LIVE", 1000)
    d = desk(photo, NAMES)
    d.control("refine_at_once").setChecked(False)
    d.run("auto_segment")
    pseudo = d.layer(" pseudo-labels")
    before = pseudo.data.copy()
    for value in (0.7, 0.9):
        d.slide(value)
        assert f"Threshold {value:.2f}" in d.status
        assert "not sure" in d.status
        assert (pseudo.data == before).all()
    d.rest()
    assert (pseudo.data != before).any()
    expected = d.controller.session.plane_state(d.controller.plane).slot.segmenter
    assert (pseudo.data == drain(expected.call("pseudo_labels", threshold=0.9))).all()
    assert "Threshold 0.90" in d.status
    pseudo.undo()
    assert (pseudo.data == before).all()


def test_threshold_refines_once_at_rest(desk, photo, qtbot):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    d.control("threshold").setValue(0.8)
    qtbot.waitUntil(lambda: "Refined" in d.status)


def test_the_slider_answers_the_keyboard(desk, photo):
    d = desk(photo, NAMES)
    slider = d.control("threshold")
    inside = [w for w in slider.findChildren(QWidget) if w.focusPolicy() & Qt.FocusPolicy.TabFocus]
    assert not inside, "one stop for Tab"
    for key, value in (
        (Qt.Key.Key_Right, 0.51),
        (Qt.Key.Key_Up, 0.52),
        (Qt.Key.Key_Left, 0.51),
        (Qt.Key.Key_Down, 0.50),
        (Qt.Key.Key_PageUp, 0.60),
        (Qt.Key.Key_PageDown, 0.50),
        (Qt.Key.Key_Home, 0.0),
        (Qt.Key.Key_Left, 0.0),
        (Qt.Key.Key_End, 1.0),
        (Qt.Key.Key_Right, 1.0),
    ):
        d.qtbot.keyClick(slider, key)
        assert slider.value() == pytest.approx(value)
        assert d.controller.threshold == pytest.approx(value)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_slider_at_rest_waits_for_a_stack(desk, photo, at_once):
    stack = np.stack([photo, photo[::-1], photo[:, ::-1]])
    d = desk(stack, NAMES)
    d.control("refine_at_once").setChecked(at_once)
    d.viewer.dims.set_current_step(0, 0)
    said = []

    def slide_in_the_second(sentence):
        said.append(sentence)
        if sentence.startswith("Plane 2 of 3"):
            d.control("threshold").setValue(0.6)
            d.widget.run._settle.start(0)

    d.controller.runner.status.connect(slide_in_the_second)
    d.controller.auto_segment_planes()
    layer = " labels" if at_once else " pseudo-labels"
    wanted = "Refined" if at_once else "Threshold 0.60"
    d.qtbot.waitUntil(lambda: wanted in d.status and not d.controller.working)
    assert any(sentence.startswith("Plane 3 of 3") for sentence in said), "the run went on"
    assert all((plane != plane.flat[0]).any() for plane in d.layer(layer).data)
    slot = d.controller.session.plane_state(d.controller.plane).slot
    if not at_once:
        assert (
            d.layer(layer).data[0] == drain(slot.segmenter.call("pseudo_labels", threshold=0.6))
        ).all()


def test_a_slider_at_rest_changes_nothing_after_a_cancel(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    before = d.layer().data.copy()
    d.click("auto_segment")
    d.control("threshold").setValue(0.9)
    d.controller.live_threshold.on_released()
    d.widget.run._settle.stop()
    d.click("cancel")
    d.finish()
    d.wait()
    assert "Cancelled" in d.status
    assert (d.layer().data == before).all()
