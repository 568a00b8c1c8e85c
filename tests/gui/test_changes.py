"""Refine near strokes, locked classes, and what is said and shown of changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_wildseg.engine.changes import changes_between
from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.gui.annotation.correction_history import Tracker
from napari_wildseg.gui.annotation.decisions import LABELS, PSEUDO, Patch, PlaneSnapshots
from napari_wildseg.gui.jobs.engine_jobs import Difference
from napari_wildseg.gui.layers.change_overlay import describe_refinement
from napari_wildseg.gui.widget import WARNING_COLOURS

from .annotator import NAMES, paint, wrong_spot

CLASSES = parse_classes("sky, elephant")


def difference(before, after, painted):
    return Difference(
        changes_between(before, after), frozenset(painted), Patch.between(before, after)
    )


def test_the_sentence_names_changes_and_warns():
    before = np.repeat(np.uint8([1, 2]), 100).reshape(20, 10)
    after = before.copy()
    after[10:18] = 1
    found = difference(before, after, [1])
    assert describe_refinement(found, CLASSES) == (
        "elephant -80 %, sky +80 %: Ctrl+Z undoes.",
        True,
    )
    assert describe_refinement(replace(found, painted=frozenset([1, 2])), CLASSES)[1] is False
    assert describe_refinement(None, CLASSES) == ("Ctrl+Z undoes.", False)
    assert describe_refinement(difference(before, before, []), CLASSES) == (
        "No class changed by 1 %: Ctrl+Z undoes.",
        False,
    )


def accept(tracker, data, automatic):
    """Write an automatic result as an undo step; returns what the layer holds then."""
    plan = tracker.snapshot(data.copy()).plan(automatic)
    tracker.accept(plan)
    return plan.baseline.copy()


def test_what_was_painted_since_the_last_result_through_undo_and_redo():
    data = np.zeros((4, 5), np.uint8)
    tracker = Tracker(data.copy())
    data = accept(tracker, data, np.ones((4, 5), np.uint8))
    assert not tracker.snapshot(data).painted().any()
    data[0, 0] = 2
    tracker.confirm(np.eye(4, 5, dtype=bool), data)  # where it is right already
    expected = np.eye(4, 5, dtype=bool)
    np.testing.assert_array_equal(tracker.snapshot(data).painted(), expected)
    painted = data.copy()
    refined = accept(tracker, data, np.full((4, 5), 2, np.uint8))
    assert not tracker.snapshot(refined).painted().any()
    assert tracker.follow_history(painted)  # undo
    np.testing.assert_array_equal(tracker.snapshot(painted).painted(), expected)
    assert tracker.follow_history(refined)  # redo
    assert not tracker.snapshot(refined).painted().any()
    refined[3, 4] = 1
    assert tracker.snapshot(refined).painted().sum() == 1


def test_strokes_in_the_pseudo_labels_are_new_until_a_result_has_them():
    blank = np.zeros((3, 3), np.uint8)
    labels, pseudo = Tracker(blank), Tracker(blank)
    stroke = blank.copy()
    stroke[1, 1] = 1

    def painted(shown):
        layers = {PSEUDO: pseudo.snapshot(stroke), LABELS: labels.snapshot(shown)}
        return PlaneSnapshots(layers).painted()

    np.testing.assert_array_equal(painted(blank), stroke == 1)
    shown = accept(labels, blank, stroke)
    assert painted(shown) is None
    assert PlaneSnapshots({}).painted() is None


@pytest.fixture
def refined(desk, photo):
    """A desk after Auto-segment and a dab that is wrong nearly everywhere."""
    d = desk(photo, NAMES)
    d.run("auto_segment")
    return d


def test_near_strokes_changes_nothing_far_from_them(refined):
    d = refined
    d.controller.settings = replace(d.controller.settings, near_distance=12)
    labels = d.layer()
    paint(labels, wrong_spot(labels, 1), 1)
    d.run("refine")
    dab = paint(labels, wrong_spot(labels, 2), 2, size=15)
    before = labels.data.copy()
    d.run("near_strokes")
    far = ndimage.distance_transform_edt(~dab) > 12
    np.testing.assert_array_equal(labels.data[far], before[far])
    assert (labels.data != before).any()
    labels.undo()
    np.testing.assert_array_equal(labels.data, before)
    d.run("near_strokes")  # The dab is new again.
    assert (labels.data != before).any()
    d.run("near_strokes")
    assert "Nothing was painted since" in d.status


def test_no_run_changes_a_locked_class_and_projects_keep_the_lock(refined):
    d = refined
    labels = d.layer()
    d.widget.names.table.classes.lock_requested.emit(3, True)
    assert "table is locked" in d.status
    before = labels.data == 3
    dab = paint(labels, wrong_spot(labels, 1), 1, size=25)
    for name in ("refine", "auto_segment"):
        d.run(name)
        np.testing.assert_array_equal((labels.data == 3)[~dab], before[~dab])
    assert (labels.data[dab] == 1).all()
    from napari_wildseg.gui.state import to_project

    project = to_project(d.controller, d.controller.session)
    assert project.state["locked"] == [3]
    d.controller.remove_class(3)
    assert not d.controller.session.locked


def test_changes_are_said_in_warning_colours_and_shown_until_the_next_action(refined):
    d = refined
    controller, labels = d.controller, d.layer()
    # A table that is nowhere: the first Refine takes nearly all of it back.
    data = labels.data.copy()
    controller.session.tracked["labels"].write(controller.plane, np.full_like(data, 3))
    paint(labels, wrong_spot(labels, 1), 1)
    before = labels.data.copy()
    d.run("refine")
    assert "Ctrl+Z undoes." in d.status
    assert "table -" in d.status
    assert d.control("status").styleSheet() == WARNING_COLOURS
    d.click("show_changes")
    assert d.control("status").styleSheet() == ""
    overlay = d.viewer.layers["Image changes"]
    shown = np.where(labels.data == 0, 255, labels.data) * (labels.data != before)
    np.testing.assert_array_equal(overlay.data, shown)
    assert d.viewer.layers.selection.active is labels
    paint(labels, wrong_spot(labels, 2), 2)
    assert "Image changes" not in d.viewer.layers
    d.click("show_changes")
    d.click("show_changes")
    assert "Image changes" not in d.viewer.layers
    d.click("show_changes")
    labels.undo()  # the stroke
    labels.undo()  # the result: there is nothing to compare any more
    assert "Image changes" not in d.viewer.layers
    d.click("show_changes")
    assert "no change to show" in d.status
