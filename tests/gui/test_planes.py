"""Planes of a stack, one by one and all of them."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QTimer

from .annotator import NAMES, wrong_spot


def test_planes_of_a_stack_are_apart(desk, photo):
    stack = np.stack([photo, photo[::-1], photo[:, ::-1]])
    d = desk(stack, NAMES, scale=(5, 1, 1))
    d.viewer.dims.set_current_step(0, 0)
    d.run("auto_segment")
    labels = d.layer()
    assert labels.data.shape == stack.shape[:3]
    assert labels.data[0].any()
    assert not labels.data[1:].any()
    d.viewer.dims.set_current_step(0, 2)
    assert "press Auto-segment" in d.status or d.controller.plane.index[0] == 2
    d.run("auto_segment")
    first = labels.data[0].copy()
    assert labels.data[2].any()
    where = wrong_spot(Labels(labels.data[2].copy()), 1)
    labels.paint((2, *where), 1)
    assert labels.data[(2, *where)] == 1
    d.run("refine")
    assert labels.data[(2, *where)] == 1
    assert (labels.data[0] == first).all()
    assert not labels.data[1].any()


def test_all_planes_of_a_stack(desk, photo):
    stack = np.stack([photo, photo[::-1], photo[:, ::-1]])
    d = desk(stack, NAMES)
    d.controller.auto_segment_planes()
    d.qtbot.waitUntil(lambda: "3 planes done" in d.status)
    assert all(plane.any() for plane in d.layer().data)


def test_cancel_stops_a_stack_in_between(desk, photo):
    stack = np.stack([photo, photo[::-1], photo[:, ::-1]])
    d = desk(stack, NAMES)

    def cancel_the_second(sentence):
        if sentence.startswith("Plane 2 of 3"):
            QTimer.singleShot(0, lambda: d.click("cancel"))

    d.controller.runner.status.connect(cancel_the_second)
    d.controller.auto_segment_planes()
    d.qtbot.waitUntil(lambda: "Cancelled" in d.status)
    assert "the finished plane keeps its labels" in d.status
    d.finish()
    d.wait()
    assert d.layer().data[0].any()
    assert not d.layer().data[2].any()


def test_another_run_ends_that_of_a_stack(desk, photo):
    stack = np.stack([photo, photo[::-1], photo[:, ::-1]])
    d = desk(stack, NAMES)
    d.viewer.dims.set_current_step(0, 0)
    asked = []

    def refine_in_the_second(sentence):
        if sentence.startswith("Plane 2 of 3") and not asked:
            asked.append(True)
            QTimer.singleShot(0, lambda: d.click("refine"))

    d.controller.runner.status.connect(refine_in_the_second)
    d.controller.auto_segment_planes()
    d.qtbot.waitUntil(lambda: "Refined" in d.status)
    d.wait()
    assert not d.controller.in_sequence, "a slider at rest would wait for ever"
    d.slide(0.6)
    d.rest()
    assert "Refined" in d.status
    assert not d.layer().data[2].any()


def test_a_result_comes_whole_in_the_3d_view(desk, photo):
    """napari's status bar raises there when a label layer is selected before the mouse moved."""
    d = desk(np.stack([photo[::2, ::2, 1]] * 3), "cup of coffee, table")
    d.viewer.dims.ndisplay = 3
    d.viewer.mouse_over_canvas = True
    for action in ("auto_segment", "refine"):
        d.run(action)
        assert d.status.startswith(("Done", "Refined", '"'))
    d.controller.pick_class(2)
    assert d.viewer.mouse_over_canvas
    assert d.controller.session.plane_state(d.controller.plane).segmented
    d.viewer.mouse_over_canvas = False
