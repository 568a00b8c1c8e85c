"""Labels of a corrected plane are carried along the stack; a plane's own corrections win."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

LABELS = " labels"


@pytest.fixture
def movie(desk):
    """Three frames of a cup that moves; the cup is labelled by hand in the first."""
    photo = np.ascontiguousarray(data.coffee()[::3, ::3])
    stack = np.stack([np.roll(photo, 8 * i, axis=1) for i in range(3)])
    d = desk()
    d.viewer.add_image(stack, name="movie", rgb=True)
    d.viewer.dims.set_current_step(0, 0)
    d.type_names("cup")
    d.run("auto_segment")
    return d


def paint(d, plane, box, label):
    layer = d.layer()
    rows, columns = (a.ravel() for a in np.mgrid[box])
    layer.data_setitem((np.full(rows.shape, plane), rows, columns), label)


def test_labels_are_carried_to_the_end(movie):
    d = movie
    paint(d, 0, np.s_[20:60, 10:40], 0)
    paint(d, 0, np.s_[70:100, 60:110], 1)
    paint(d, 2, np.s_[5:15, 5:15], 1)
    own = d.layer().data[2, 5:15, 5:15].copy()
    first = d.layer().data[0].copy()
    d.run("carry_to_last")
    labels = d.layer().data
    np.testing.assert_array_equal(labels[0], first)
    assert d.viewer.dims.current_step[0] == 2
    for i in (1, 2):
        there = np.roll(first, 8 * i, axis=1)[:, 20:] == 1
        found = labels[i][:, 20:] == 1
        assert (there & found).sum() / (there | found).sum() > 0.7, i
    np.testing.assert_array_equal(labels[2, 5:15, 5:15], own)
    # What was carried is not the annotator's: only what was painted counts as corrected.
    session = d.controller.session
    assert session.decided_pixels(d.controller.plane) == 100
    assert "carried to 2 planes" in d.status


def test_what_cannot_be_carried_is_said(movie):
    d = movie
    d.click("carry_to_previous")
    assert "first plane" in d.status
    d.viewer.dims.set_current_step(0, 1)
    d.click("carry_to_next")
    assert "Auto-segment" in d.status


def test_only_planes_that_may_have_changed_are_kept_safe_anew(movie, qtbot, monkeypatch):
    d = movie
    d.controller.auto_segment_planes()
    d.wait()
    saved = []
    monkeypatch.setattr(
        d.controller.session.claim,
        "save",
        lambda plane, find, classes, **_: saved.append((plane.index[0], find())),
    )

    def noted() -> dict:
        qtbot.waitUntil(lambda: not d.widget._count.isActive())
        found = dict(saved)
        saved.clear()
        return found

    noted()
    d.viewer.dims.set_current_step(0, 1)
    assert set(noted()) <= {1}, "a slider that moves is no reason to look through the stack"
    spot = tuple(int(n) // 2 for n in d.layer().data.shape[1:])
    other = 1 - int(d.layer().data[(1, *spot)])
    d.layer().paint((1, *spot), other)
    assert {i for i, found in noted().items() if found is not None} == {1}
    d.viewer.dims.set_current_step(0, 0)
    noted()
    d.layer().undo()
    assert noted()[1] is None, "what was undone out of view is not kept"
