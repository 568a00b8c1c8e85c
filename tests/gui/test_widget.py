"""An annotator's afternoon: a real viewer, the real widget, the real starter model."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtGui import QAction, QPalette
from qtpy.QtWidgets import QApplication, QLabel, QPushButton, QShortcut, QWidget

from napari_wildseg.gui import threshold
from napari_wildseg.gui.export import Choice
from napari_wildseg.gui.export_dialog import ExportDialog
from napari_wildseg.gui.jobs import segment_steps
from napari_wildseg.gui.strokes import brushed

NAMES = "cup of coffee, spoon, table"
CONTROLS = (
    *("image", "model", "classes", "new_class", "suggest", "auto_segment", "cancel", "refine"),
    *("confirm_region", "export", "threshold", "status", "refine_at_once", "more"),
)


def wrong_spot(layer, label, size=12):
    """Return a spot whose neighbourhood is not labelled so."""
    far = np.argwhere(layer.data != label)
    inside = (far >= size).all(1) & (far < np.array(layer.data.shape) - size).all(1)
    return tuple(int(i) for i in far[inside][len(far[inside]) // 3])


def paint(layer, spot, label, size=9):
    """Paint a dab the way the brush does; returns the pixels it covers."""
    before = layer.data.copy()
    layer.mode = "paint"
    layer.brush_size = size
    layer.paint(spot, label)
    return before != layer.data


def test_every_control_has_its_name_and_a_tooltip(desk):
    d = desk()
    for name in CONTROLS:
        assert d.control(name).toolTip(), name
    for child in d.widget.findChildren(QWidget):
        named = child.objectName() and not child.objectName().startswith(("qt_", "magicgui"))
        if named and not isinstance(child, QLabel) and child.objectName() != "suggestions":
            assert child.toolTip() or child.parent().toolTip(), child.objectName()


def test_the_state_line_says_what_to_do_first(desk, photo):
    d = desk()
    assert "Open an image" in d.status
    d.viewer.add_image(photo, name="coffee")
    assert "Type what is in the image" in d.status
    d.type_names(NAMES)
    assert "press Auto-segment" in d.status
    assert d.control("classes").model().rowCount() == 3


def test_the_whole_job(desk, photo, tmp_path, monkeypatch):
    """Auto-segment, paint, Refine, undo, redo, Export, read back."""
    d = desk(photo, NAMES, name="coffee", scale=(0.5, 0.25), units=("mm", "mm"))
    d.run("auto_segment")
    labels, pseudo = d.layer(), d.layer(" pseudo-labels")
    assert labels.visible
    assert not pseudo.visible
    assert d.viewer.layers.selection.active is labels
    assert set(np.unique(labels.data)) <= {0, 1, 2, 3}
    assert len(np.unique(labels.data)) > 1
    assert set(np.unique(pseudo.data)) <= {0, 1, 2, 3, 255}
    assert labels.features["class"].tolist() == [
        "background",
        "cup of coffee",
        "spoon",
        "table",
        "not sure",
    ]
    assert tuple(labels.scale) == (0.5, 0.25)
    assert labels.units == d.viewer.layers["coffee"].units

    spot = wrong_spot(labels, 2)
    painted = paint(labels, spot, 2)
    assert painted.any()
    before = labels.data.copy()
    d.run("refine")
    assert (labels.data[painted] == 2).all()
    assert "corrected pixels kept" in d.status
    after = labels.data.copy()
    if (after != before).any():
        labels.undo()
        assert (labels.data == before).all(), "one Ctrl+Z brings back the state before Refine"
        labels.redo()
    assert (labels.data == after).all()

    target = tmp_path / "out.png"
    monkeypatch.setattr(ExportDialog, "ask", lambda _: Choice("png", tmp_path, "out"))
    d.run("export")
    from napari_wildseg.io import read_labels

    back = read_labels(target)
    assert (back.labels == labels.data).all()
    assert [c.name for c in back.classes] == ["cup of coffee", "spoon", "table"]
    about = json.loads(target.with_suffix(".json").read_text())
    assert about["image"] == "coffee"
    assert about["scale"] == [0.5, 0.25]
    assert "Exported out.png" in d.status


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


def stroke(d, layer, path):
    """Drag the mouse over a layer the way napari hands it on."""
    from napari.utils.interactions import (
        mouse_move_callbacks,
        mouse_press_callbacks,
        mouse_release_callbacks,
    )

    event = SimpleNamespace(
        type="mouse_press",
        position=tuple(layer.data_to_world(path[0])),
        view_direction=None,
        dims_displayed=[0, 1],
        dims_point=list(d.viewer.dims.point),
        is_dragging=False,
        modifiers=[],
        button=1,
        pos=np.zeros(2),
        inverted=False,
    )
    mouse_press_callbacks(layer, event)
    for spot in path[1:]:
        event.type, event.is_dragging = "mouse_move", True
        event.position = tuple(layer.data_to_world(spot))
        mouse_move_callbacks(layer, event)
    event.type, event.is_dragging = "mouse_release", False
    mouse_release_callbacks(layer, event)


def test_painting_what_is_right_already_confirms_it(desk, photo):
    """napari reports nothing for such a stroke; the path of the brush tells."""
    d = desk(photo, NAMES, scale=(2, 2))
    d.run("auto_segment")
    labels = d.layer()
    label = int(np.bincount(labels.data[labels.data > 0]).argmax())
    d.controller.pick_class(label)
    labels.brush_size = 8
    before = labels.data.copy()
    right = np.argwhere(before == label)
    path = [tuple(right[len(right) // 2]), (100, 120), (120, 160)]
    stroke(d, labels, path)
    passed = brushed(labels.data.shape, path, 7)
    assert (labels.data[passed] == label).all()
    assert ((before == label) & passed).any(), "part of it was right before"
    decided = d.controller.session.decided(d.controller.plane)
    assert (decided[passed] == label).all()
    labels.mode = "erase"
    stroke(d, labels, [(20, 20), (20, 60)])
    decided = d.controller.session.decided(d.controller.plane)
    assert (decided[brushed(labels.data.shape, [(20, 20), (20, 60)], 7)] == 0).all()
    labels.mode = "pan_zoom"
    count = d.controller.session.decided_pixels(d.controller.plane)
    stroke(d, labels, [(50, 20), (60, 60)])
    assert d.controller.session.decided_pixels(d.controller.plane) == count


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
    assert "confirmed" in d.status
    d.type_names("plate, wooden board, milk foam")
    d.slide(0.9)
    d.run("auto_segment")
    assert (labels.data[region] == present).all()
    d.click("confirm_region")
    d.click("confirm_region")
    assert "already" in d.status
    d.controller.release_corrections()
    assert d.controller.session.decided_pixels(d.controller.plane) == 0


def test_confirm_the_region_under_the_cursor(desk, photo):
    d = desk(photo, NAMES, scale=(2, 2))
    d.run("auto_segment")
    labels = d.layer()
    spot = tuple(int(i) for i in np.argwhere(labels.data > 0)[50])
    d.viewer.cursor.position = tuple(2.0 * s for s in spot)
    assert d.controller.confirm_at_cursor() > 0
    decided = d.controller.session.corrections(d.controller.plane)
    assert decided[spot] == labels.data[spot]
    assert set(np.unique(decided)) == {-1, labels.data[spot]}
    d.viewer.cursor.position = (-50.0, -50.0)
    assert d.controller.confirm_at_cursor() == 0
    assert "Move the cursor" in d.status


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
    assert (pseudo.data == expected.pseudo_labels(0.9)).all()
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
        assert (d.layer(layer).data[0] == slot.segmenter.pseudo_labels(0.6)).all()


def test_a_slider_at_rest_changes_nothing_after_a_cancel(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    before = d.layer().data.copy()
    d.click("auto_segment")
    d.control("threshold").setValue(0.9)
    d.controller.settle_threshold()
    d.widget.run._settle.stop()
    d.click("cancel")
    d.finish()
    d.wait()
    assert "Cancelled" in d.status
    assert (d.layer().data == before).all()


def test_picking_a_row_selects_label_and_brush(desk, photo, qtbot):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    table = d.control("classes")
    d.viewer.layers.selection.active = d.viewer.layers["Image"]
    cell = table.visualRect(table.model().index(1, 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(cell))
    labels = d.layer()
    assert d.viewer.layers.selection.active is labels
    assert labels.selected_label == 2
    assert labels.mode == "paint"
    labels.selected_label = 3
    assert table.current_class().id == 3


def test_areas_follow_the_brush(desk, photo, qtbot):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels = d.layer()
    table = d.control("classes")
    before = table.model().index(1, 1).data()
    paint(labels, wrong_spot(labels, 2), 2, 61)
    qtbot.waitUntil(lambda: table.model().index(1, 1).data() != before)
    share = (labels.data == 2).mean()
    assert table.model().index(1, 1).data() == f"{share:.1%}".replace("%", " %")


def test_hidden_classes_are_transparent(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    d.controller.show_class(1, False)
    assert d.layer().colormap.map(1)[3] == 0
    d.controller.show_class(1, True)
    assert d.layer().colormap.map(1)[3] == 1


def test_removed_class_becomes_background_in_one_undo_step(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels = d.layer()
    paint(labels, wrong_spot(labels, 2), 2)
    before = labels.data.copy()
    d.controller.remove_class(2)
    assert (labels.data == 2).sum() == 0
    assert [c.id for c in d.controller.classes] == [1, 3]
    labels.undo()
    assert (labels.data == before).all()
    labels.redo()
    d.run("refine")
    assert set(np.unique(labels.data)) <= {0, 1, 3}


def test_a_renamed_class_keeps_its_pixels(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels = d.layer()
    painted = paint(labels, wrong_spot(labels, 2), 2)
    model = d.control("classes").model()
    model.setData(model.index(1, 0), "teaspoon=spoon|teaspoon")
    assert labels.features["class"].tolist()[2] == "teaspoon"
    d.run("refine")
    assert (labels.data[painted] == 2).all()


def test_a_class_added_after_auto_segment_can_be_painted_and_refined(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    d.type_names("saucer")
    labels = d.layer()
    painted = paint(labels, wrong_spot(labels, 4), 4)
    d.run("refine")
    assert (labels.data[painted] == 4).all()


def test_a_label_of_no_class_is_pointed_out(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels = d.layer()
    painted = paint(labels, wrong_spot(labels, 9), 9)
    for action in ("refine", "auto_segment"):
        d.run(action)
        assert "Label 9" in d.status
    assert (labels.data[painted] == 9).all(), "nothing was lost"


@pytest.mark.parametrize("text", ["cat, cat", '"cat'])
def test_names_that_cannot_be_used_are_explained(desk, photo, text):
    d = desk(photo)
    d.type_names(text)
    assert d.control("classes").model().rowCount() == 0
    assert d.control("new_class").text() == text, "what was typed is not lost"
    assert d.status.endswith(".")


def test_typed_but_not_entered_names_are_meant(desk, photo):
    d = desk(photo)
    d.control("new_class").setText(NAMES)
    d.run("auto_segment")
    assert d.layer().data.any()


def test_auto_segment_without_names_or_image_says_what_is_missing(desk, photo):
    d = desk()
    d.click("auto_segment")
    assert "Open an image" in d.status
    d.viewer.add_image(photo)
    d.click("auto_segment")
    assert "Type what is in the image" in d.status
    d.click("refine")
    d.type_names(NAMES)
    d.click("refine")
    assert "Auto-segment first" in d.status
    d.click("export")
    assert "Auto-segment first" in d.status
    d.click("confirm_region")
    assert "Auto-segment first" in d.status


def test_failures_are_sentences(desk, photo):
    d = desk(photo, NAMES)
    d.controller.model = "no-such/model"
    d.run("auto_segment")
    assert "no-such" in d.status
    assert "Traceback" not in d.status
    assert [type(layer) for layer in d.viewer.layers] == [Image]
    assert not d.control("cancel").isEnabled()


def test_a_model_that_is_not_here_is_offered(desk, photo, monkeypatch):
    from napari.utils.notifications import notification_manager

    from napari_wildseg.engine.models import download

    asked = []

    def download_steps(model, **kwargs):
        asked.append(model)
        yield from ()

    monkeypatch.setattr(download, "download_steps", download_steps)
    d = desk(photo, NAMES)
    d.control("model").setCurrentText("ViT-B-16/openai")
    d.widget.image.take_model()
    d.run("auto_segment")
    assert "not on this machine" in d.status
    note = notification_manager.records[-1]
    [(text, press)] = note.actions
    assert text == "Download (599 MB)"

    class Dialog:
        def close(self):
            pass

    press(Dialog())
    d.qtbot.waitUntil(lambda: bool(asked))
    d.wait()
    assert asked == ["ViT-B-16/openai"]


def test_a_model_that_would_not_work_is_not_offered(desk, photo):
    from napari.utils.notifications import notification_manager

    d = desk(photo, NAMES)
    d.control("model").setCurrentText("coca_ViT-B-32/laion2b_s13b_b90k")
    d.widget.image.take_model()
    d.run("auto_segment")
    assert "not supported" in d.status
    assert not notification_manager.records[-1].actions, "a download would be for nothing"


def test_the_model_can_be_released(desk, photo):
    d = desk(photo, NAMES)
    d.controller.pool.models.clear()  # a model of its own, not the one all tests share
    d.run("auto_segment")
    labels = d.layer()
    painted = paint(labels, wrong_spot(labels, 2), 2)
    network = weakref.ref(d.controller.pool.models["starter"].network)
    d.control("more")
    d.widget.findChild(QAction, "release_model").trigger()
    d.wait()
    assert network() is None, "the memory is free"
    assert "free again" in d.status
    d.run("refine")
    assert (labels.data[painted] == 2).all()
    assert network() is None


def test_the_worker_collects_no_garbage(desk, photo, monkeypatch):
    """Objects of Qt may be part of it, and must not be destroyed away from the GUI thread."""
    d = desk(photo, NAMES)
    d.run("auto_segment")
    threads = []
    monkeypatch.setattr(gc, "collect", lambda *_: threads.append(threading.current_thread()))
    d.controller.release_model()
    d.wait()
    d.controller.shut_down()
    d.finish()
    assert threads
    assert set(threads) == {threading.main_thread()}


def test_images_that_cannot_be_segmented_are_refused(desk):
    d = desk(np.zeros((1, 40)), NAMES)
    d.run("auto_segment")
    assert "pixels" in d.status
    assert len(d.viewer.layers) == 1


def test_an_image_that_is_opened_is_the_next_one_once_the_labels_are_exported(desk, photo):
    d = desk(photo, NAMES)
    first = d.controller.image
    untouched = d.viewer.add_image(photo[::-1], name="second")
    assert d.controller.image is untouched, "nothing was begun on the first"
    d.controller.choose_image(first)
    d.run("auto_segment")
    third = d.viewer.add_image(photo[:, ::-1], name="third")
    assert d.controller.image is first
    assert '"third"' in d.status
    d.controller.session.note_saved()
    fourth = d.viewer.add_image(photo[::-1, ::-1], name="fourth")
    assert d.controller.image is fourth
    assert d.widget.image.image.value is fourth
    assert d.status == "Ready: press Auto-segment."
    d.controller.choose_image(first)
    d.layer().paint((5, 5), 1 - int(d.layer().data[5, 5] == 1))
    assert d.controller.session.unsaved
    assert third in d.viewer.layers


def test_names_that_replace_others_have_room(desk, photo):
    d = desk(photo)
    bar = d.control("suggestions")
    d.widget.show()
    for names in (["cup"], ["cup", "spoon"], [], ["saucer"]):
        d.controller.suggested.emit([(name, 0.9) for name in names])
        assert bar.isVisibleTo(d.widget) == bool(names)
        assert (bar.height() >= 15) == bool(names)


def test_suggested_names_are_added_with_a_click(desk, photo, qtbot):
    d = desk(photo)
    d.run("suggest")
    bar = d.control("suggestions")
    buttons = [b for b in bar.findChildren(QWidget) if hasattr(b, "click")]
    assert buttons
    buttons[0].click()
    assert d.control("classes").model().rowCount() == 1
    assert not buttons[0].isEnabled()
    d.controller.remove_class(1)
    assert buttons[0].isEnabled()


def test_suggested_names_that_are_typed_are_not_offered(desk, photo):
    d = desk(photo)
    bar = d.control("suggestions")
    d.controller.session.suggestions = [("cup", 0.9), ("spoon", 0.4)]
    d.controller.add_classes("Cup")
    offered = {b.text(): b.isEnabled() for b in bar.findChildren(QPushButton) if not b.isHidden()}
    assert offered == {"+ cup": False, "+ spoon": True}
    d.controller.add_classes("spoon, table")
    assert bar.isHidden()


# ---------------------------------------------------------------------- images and viewers apart


def test_two_images_do_not_mix(desk, photo):
    d = desk(photo, NAMES, name="one")
    d.run("auto_segment")
    one = d.layer()
    painted = paint(one, wrong_spot(one, 1), 1)
    d.viewer.add_image(photo[::-1], name="two")
    d.widget.image.image.value = d.viewer.layers["two"]
    assert d.controller.session.decided_pixels(d.controller.plane) == 0
    d.type_names("plate")
    d.run("auto_segment")
    two = d.layer()
    assert two is not one
    d.widget.image.image.value = d.viewer.layers["one"]
    assert d.control("classes").model().rowCount() == 3
    d.run("refine")
    assert (one.data[painted] == 1).all()
    assert d.control("classes").model().rowCount() == 3


def test_labels_follow_an_image_that_is_calibrated_later(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels, image = d.layer(), d.controller.image
    painted = paint(labels, wrong_spot(labels, 1), 1)
    image.scale = (0.5, 0.25)
    image.translate = (3, 4)
    image.rotate = 15
    for layer in (labels, d.layer(" pseudo-labels")):
        np.testing.assert_allclose(layer.data_to_world((7, 9)), image.data_to_world((7, 9)))
    d.run("refine")
    assert (labels.data[painted] == 1).all()


def test_renamed_layers_stay_known(desk, photo):
    d = desk(photo, NAMES, name="one")
    d.run("auto_segment")
    labels = d.layer()
    painted = paint(labels, wrong_spot(labels, 1), 1)
    d.viewer.layers["one"].name = "another name"
    labels.name = "my work"
    assert d.widget.image.image.value is d.viewer.layers["another name"]
    d.run("refine")
    assert len([layer for layer in d.viewer.layers if isinstance(layer, Labels)]) == 2
    assert (labels.data[painted] == 1).all()


def test_two_viewers_do_not_mix(desk, photo, make_napari_viewer):
    first = desk(photo, NAMES)
    second = desk(photo, "cat", viewer=make_napari_viewer())
    first.run("auto_segment")
    assert len(first.viewer.layers) == 3
    assert len(second.viewer.layers) == 1
    assert second.control("classes").model().rowCount() == 1
    second.run("auto_segment")
    paint(second.layer(), (20, 20), 1)
    assert first.controller.session.decided_pixels(first.controller.plane) == 0


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


# ---------------------------------------------------------------------- stopping and deleting


def test_cancel_changes_nothing(desk, photo, qtbot):
    d = desk(photo, NAMES)
    cancel = d.control("cancel")
    assert not cancel.isEnabled()
    d.click("auto_segment")
    assert cancel.isEnabled()
    cancel.click()
    assert not cancel.isEnabled()
    assert "Cancelled" in d.status
    d.finish()
    assert len(d.viewer.layers) == 1
    d.run("auto_segment")
    assert len(d.viewer.layers) == 3


def test_the_latest_run_wins(desk, photo):
    d = desk(photo, "cup")
    d.click("auto_segment")
    d.type_names("spoon")
    d.click("auto_segment")
    d.wait()
    assert d.layer().features["class"].tolist() == ["background", "cup", "spoon", "not sure"]


def test_progress_is_in_the_activity_dock(desk, photo, qtbot, monkeypatch):
    from napari.utils import progress

    from napari_wildseg.gui import activity, controller, runner

    seen = threading.Event()

    def not_over_before_it_is_seen(*args, **kwargs):
        steps = segment_steps(*args, **kwargs)
        yield next(steps)
        seen.wait()
        return (yield from steps)

    monkeypatch.setattr(activity, "PATIENCE", 0)
    monkeypatch.setattr(runner, "PACE", 0)
    monkeypatch.setattr(controller, "segment_steps", not_over_before_it_is_seen)
    d = desk(photo, NAMES)
    d.click("auto_segment")
    try:
        qtbot.waitUntil(lambda: bool(progress._all_instances))
        bars = [bar for bar in progress._all_instances if bar.desc.startswith("Auto-segment")]
        assert len(bars) == 1
        bars[0].cancel()
        assert not d.controller.runner.running
        assert not progress._all_instances
    finally:
        seen.set()
    d.run("auto_segment")
    assert not progress._all_instances


@pytest.mark.parametrize("which", ["image", "labels", "all"])
def test_layers_deleted_in_mid_run(desk, photo, qtbot, which):
    d = desk(photo, NAMES, name="photo")
    d.run("auto_segment")
    d.type_names("saucer")
    d.click("auto_segment")
    if which == "image":
        d.viewer.layers.remove("photo")
        assert not d.controller.runner.running
    elif which == "labels":
        d.viewer.layers.remove("photo labels")
    else:
        d.viewer.layers.clear()
    d.wait()
    d.finish()
    if which == "labels":
        assert d.layer().data.any()
    else:
        assert "photo" not in d.viewer.layers


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


def test_switching_images_in_mid_run(desk, photo):
    d = desk(photo, NAMES, name="one")
    d.viewer.add_image(photo[::-1], name="two")
    d.widget.image.image.value = d.viewer.layers["one"]
    d.click("auto_segment")
    d.widget.image.image.value = d.viewer.layers["two"]
    d.wait()
    d.finish()
    assert len(d.viewer.layers) == 2
    d.run("auto_segment")
    assert "two labels" in d.viewer.layers
    assert "one labels" not in d.viewer.layers


def test_closing_the_dock_in_mid_run(desk, photo, qtbot):
    d = desk(photo, NAMES)
    d.click("auto_segment")
    controller = d.controller
    d.viewer.window.remove_dock_widget(d.widget)
    d.widget.deleteLater()
    QApplication.processEvents()
    qtbot.waitUntil(lambda: not controller.working)
    d.finish()
    d.viewer.add_image(photo)
    assert len(d.viewer.layers) == 2


def test_paint_during_a_run_is_kept(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels = d.layer()
    d.click("refine")
    painted = paint(labels, wrong_spot(labels, 2), 2)
    d.wait()
    assert (labels.data[painted] == 2).all()


def test_a_removed_image_is_let_go(desk, photo):
    d = desk(photo, NAMES, name="photo")
    d.run("auto_segment")
    gone = weakref.ref(d.viewer.layers["photo"])
    d.viewer.layers.clear()
    d.wait()
    for _ in range(3):
        QApplication.processEvents()
        if gone() is None:
            break
        gc.collect()
    session_of_gone = [s for s in d.controller.sessions if s.image is not None]
    assert gone() is None or not session_of_gone


def test_every_control_can_be_reached_and_has_a_name_to_read_out(desk, photo):
    d = desk(photo, NAMES)
    labels = {label.buddy(): label.text() for label in d.widget.findChildren(QLabel)}
    for name in CONTROLS:
        control = d.control(name)
        own = getattr(control, "text", lambda: "")()
        # Three dots are no name.
        words = own if any(map(str.isalpha, str(own))) else ""
        assert control.accessibleName() or words or labels.get(control), name
        if name != "status":
            assert control.focusPolicy() & Qt.FocusPolicy.TabFocus, name


def test_no_key_is_taken_from_napari(make_napari_viewer, desk):
    from napari.layers import Labels, Layer
    from napari.utils.shortcuts import default_shortcuts
    from qtpy.QtGui import QKeySequence

    d = desk(viewer=make_napari_viewer(show=True))
    ours = {s.key().toString() for s in d.widget.findChildren(QShortcut)}
    assert len(ours) == 3
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
    from napari_wildseg.gui.sections.edit import CONFIRM_KEY, REFINE_KEY
    from napari_wildseg.gui.sections.run import AUTO_SEGMENT_KEY

    ours = {AUTO_SEGMENT_KEY, REFINE_KEY, CONFIRM_KEY}
    d = desk(photo, NAMES)
    # Without a window manager no window is active, so the keys are pressed by their signal.
    keys = {s.key().toString(): s for s in d.widget.findChildren(QShortcut)}
    assert set(keys) == ours
    keys[AUTO_SEGMENT_KEY].activated.emit()
    d.wait()
    labels = d.layer()
    d.viewer.cursor.position = (30.0, 40.0)
    keys[CONFIRM_KEY].activated.emit()
    assert d.controller.session.corrections(d.controller.plane)[30, 40] == labels.data[30, 40]
    keys[REFINE_KEY].activated.emit()
    d.wait()
    assert "Refined" in d.status


def test_keys_are_heard_on_the_canvas(make_napari_viewer, desk, photo, qtbot):
    """Real keys, pressed where the annotator's focus is while painting."""
    d = desk(photo, NAMES, viewer=make_napari_viewer(show=True))
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


def contrast(one, other):
    """Contrast of two RGB colours from 0 to 255 (WCAG)."""

    def luminance(colour):
        parts = np.array(colour[:3]) / 255
        linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_and_icons_stand_out(theme):
    """The widget's own colours are the theme's: 4.5 to 1 for text, 3 to 1 for icons (WCAG AA)."""
    from napari.utils.theme import get_theme

    colours = get_theme(theme)
    # What is behind the controls: the dock, fields and buttons, pressed, hovered, chosen.
    for ground in ("background", "foreground", "primary", "secondary", "highlight"):
        behind = getattr(colours, ground).as_rgb_tuple()
        assert contrast(colours.text.as_rgb_tuple(), behind) >= 4.5, ground
        assert contrast(colours.icon.as_rgb_tuple(), behind) >= 3, ground


def test_narrow_and_both_themes(make_napari_viewer, desk, photo):
    d = desk(photo, NAMES, viewer=make_napari_viewer(show=True))
    d.run("auto_segment")
    sections = d.widget.image.parentWidget()
    for theme in ("light", "dark"):
        d.viewer.theme = theme
        QApplication.processEvents()
        palette = d.control("new_class").palette()
        *hint, opacity = palette.color(QPalette.ColorRole.PlaceholderText).getRgb()
        ground = np.array(palette.color(QPalette.ColorRole.Base).getRgb()[:3])
        seen = np.array(hint) * opacity / 255 + ground * (1 - opacity / 255)
        assert contrast(seen, ground) >= 4.5
    d.viewer.layers["Image"].name = "a very long name of a layer " * 4
    assert d.widget.minimumSizeHint().width() <= 250
    # The sections never scroll sideways, not even beside a vertical scroll bar.
    assert sections.minimumSizeHint().width() <= 250 - 16 - 12
