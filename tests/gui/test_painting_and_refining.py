"""What the annotator paints, and what Refine makes of it."""

from __future__ import annotations

import numpy as np

from napari_wildseg.gui.annotation.brush_strokes import brushed

from .annotator import NAMES, paint, stroke, wrong_spot


def test_corrections_accumulate_over_refines(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels = d.layer()
    first = paint(labels, wrong_spot(labels, 1), 1)
    d.run("refine")
    second = paint(labels, wrong_spot(labels, 2), 2) & ~first
    d.run("refine")
    d.run("refine")
    assert (labels.data[first & ~second] == 1).all()
    assert (labels.data[second] == 2).all()


def test_painting_what_is_right_already_confirms_what_the_brush_covers(desk, photo):
    """napari reports nothing for such a stroke; the path of the brush tells."""
    d = desk(photo, NAMES, scale=(4, 1))
    d.run("auto_segment")
    labels, session, plane = d.layer(), d.controller.session, d.controller.plane
    label = int(np.bincount(labels.data[labels.data > 0]).argmax())
    d.controller.pick_class(label)
    labels.brush_size = 21
    before = labels.data.copy()
    right = np.argwhere(before == label)
    path = [tuple(right[len(right) // 2]), (100, 120), (120, 160)]
    stroke(d.viewer, labels, path)
    box, covered = brushed(before.shape, path, 21, (4, 1), (0, 1))
    passed = np.zeros(before.shape, bool)
    passed[box] = covered
    assert ((before == label) & passed).any(), "part of it was right before"
    np.testing.assert_array_equal(session.decided(plane) == label, passed)
    count = session.decided_pixels(plane)
    labels.mode = "pan_zoom"
    stroke(d.viewer, labels, [(50, 20), (60, 60)])
    labels.mode = "paint"
    stroke(d.viewer, labels, path[::-1], button=2)  # an outline to be filled, not a stroke
    assert session.decided_pixels(plane) == count
    labels.mode = "erase"
    stroke(d.viewer, labels, [(20, 20), (20, 60)])
    assert (session.decided(plane)[20, 15:65] == 0).all()


def test_auto_segment_again_keeps_corrections(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels = d.layer()
    painted = paint(labels, wrong_spot(labels, 3), 3)
    d.type_names("saucer")
    d.run("auto_segment")
    assert d.layer() is labels
    assert (labels.data[painted] == 3).all()


def test_undo_of_a_refine_is_no_correction(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels = d.layer()
    session, plane = d.controller.session, d.controller.plane
    paint(labels, wrong_spot(labels, 2), 2, 21)
    count = session.decided_pixels(plane)
    d.run("refine")
    assert "Refined" in d.status
    labels.undo()
    assert session.decided_pixels(plane) == count
    assert d.status.startswith("Undone")
    labels.redo()
    assert d.status.startswith("Redone")
    labels.undo()
    d.run("refine")
    assert session.decided_pixels(plane) == count


def test_erased_and_filled_pixels_are_corrections(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels = d.layer()
    where = np.argwhere(labels.data > 0)
    erased = paint(labels, tuple(where[len(where) // 2]), 0)
    d.run("refine")
    assert (labels.data[erased] == 0).all()
    labels.mode = "fill"
    spot = tuple(int(i) for i in np.argwhere(labels.data != 3)[0])
    before = labels.data.copy()
    labels.fill(spot, 3)
    filled = before != labels.data
    d.run("refine")
    assert (labels.data[filled] == 3).all()


def test_pseudo_labels_can_be_corrected_and_labels_win(desk, photo):
    d = desk(photo, NAMES)
    d.control("refine_at_once").setChecked(False)
    d.run("auto_segment")
    pseudo = d.layer(" pseudo-labels")
    assert pseudo.visible
    assert all(layer.name != "Image labels" for layer in d.viewer.layers)
    painted = paint(pseudo, wrong_spot(pseudo, 1), 1)
    d.run("refine")
    labels = d.layer()
    assert (labels.data[painted] == 1).all()
    again = paint(labels, tuple(int(i) for i in np.argwhere(painted)[0]), 2, 3)
    d.run("refine")
    assert (labels.data[again] == 2).all()
    d.control("refine_at_once").setChecked(True)
    assert not pseudo.visible


def test_confirmed_pixels_survive_a_changed_class_list(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels = d.layer()
    present = int(np.bincount(labels.data[labels.data > 0]).argmax())
    d.controller.pick_class(present)
    region = labels.data == present
    d.click("confirm_region")
    assert "stay as they are" in d.status
    d.type_names("plate, wooden board, milk foam")
    d.slide(0.9)
    d.run("auto_segment")
    assert (labels.data[region] == present).all()
    d.click("confirm_region")
    d.click("confirm_region")
    assert "already" in d.status
    d.controller.confirmations.release()
    assert d.controller.session.decided_pixels(d.controller.plane) == 0


def test_confirm_the_region_under_the_cursor(desk, photo):
    d = desk(photo, NAMES, scale=(2, 2))
    d.run("auto_segment")
    labels = d.layer()
    spot = tuple(int(i) for i in np.argwhere(labels.data > 0)[50])
    d.viewer.cursor.position = tuple(2.0 * s for s in spot)
    assert d.controller.confirmations.confirm_at_cursor() > 0
    decided = d.controller.session.corrections(d.controller.plane)
    assert decided[spot] == labels.data[spot]
    assert set(np.unique(decided)) == {-1, labels.data[spot]}
    d.viewer.cursor.position = (-50.0, -50.0)
    assert d.controller.confirmations.confirm_at_cursor() == 0
    assert "Move the mouse" in d.status


def test_corrections_of_a_deleted_layer_are_offered_again(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    spot = wrong_spot(d.layer(), 2)
    painted = paint(d.layer(), spot, 2)
    assert not d.control("left_over").isVisibleTo(d.widget)
    d.viewer.layers.remove(d.layer())
    assert d.control("left_over").isVisibleTo(d.widget)
    assert "Restore" in d.status
    d.run("auto_segment")
    assert d.controller.session.corrections(d.controller.plane) is None
    d.click("restore")
    assert (d.layer().data[painted] == 2).all()
    corrections = d.controller.session.corrections(d.controller.plane)
    assert ((corrections == 2) >= painted).all()
    assert not d.control("left_over").isVisibleTo(d.widget)


def test_paint_during_a_run_is_kept(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels = d.layer()
    d.click("refine")
    painted = paint(labels, wrong_spot(labels, 2), 2)
    d.wait()
    assert (labels.data[painted] == 2).all()
