"""The class list at work: picked, hidden, removed, renamed, suggested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QPushButton, QWidget

from napari_wildseg.engine.errors import InputError
from napari_wildseg.gui.export import Choice, plan

from .annotator import NAMES, paint, wrong_spot


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
    assert labels.selected_label != 2, "the next stroke would bring it back"
    labels.undo()
    assert (labels.data == before).all()
    assert [c.id for c in d.controller.classes] == [1, 2, 3], "pixels have a row"
    assert "spoon is in the table again" in d.status
    labels.redo()
    d.controller.remove_class(2)
    d.run("refine")
    assert set(np.unique(labels.data)) <= {0, 1, 3}


def test_a_class_removed_during_a_run_does_not_come_back(desk, photo):
    d = desk(photo, NAMES)
    c = d.controller
    c.auto_segment()
    c.remove_class(1)
    c.add_classes("dog")  # must not take over the pixels that are under way
    d.wait()
    assert [(i.id, i.name) for i in c.classes] == [(2, "spoon"), (3, "table"), (4, "dog")]
    assert 1 not in d.layer().data
    assert 1 not in d.layer(" pseudo-labels").data
    c.refine()
    c.remove_class(3)
    d.wait()
    assert set(np.unique(d.layer().data)) <= {0, 2, 4}
    items = plan(Choice("png", Path()), list(c.sessions), c.plane, d.viewer.layers)
    assert [i.name for i in items[0].labels.classes] == ["spoon", "dog"]
    paint(d.layer(), (20, 20), 3)
    with pytest.raises(InputError, match="label 3, which belongs to no class"):
        plan(Choice("png", Path()), list(c.sessions), c.plane, d.viewer.layers)


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


@pytest.mark.parametrize("text", ["cat=", '"cat'])
def test_names_that_cannot_be_used_are_explained(desk, photo, text):
    d = desk(photo)
    d.type_names(text)
    assert d.control("classes").model().rowCount() == 1
    assert d.control("new_class").text() == text, "what was typed is not lost"
    assert d.status.endswith(".")


def test_names_that_are_there_are_told_and_the_others_added(desk, photo):
    d = desk(photo, "cat")
    d.type_names("Cat,, dog, dog")
    assert [c.name for c in d.controller.classes] == ["cat", "dog"]
    assert d.status == "Added: dog. In the table already: Cat."
    assert d.control("new_class").text() == ""
    d.type_names("dog=puppy")
    assert d.status == "In the table already: dog."
    assert d.controller.classes[1].prompts == ("dog",)


def test_background_is_painted_as_a_class_is(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels = d.layer()
    assert labels.selected_label == 1
    table = d.control("classes")
    table.picked.emit(table.classes.label_at(3))
    assert (labels.selected_label, labels.mode) == (0, "paint")
    spot = tuple(int(i) for i in np.argwhere(labels.data != 0)[0])
    labels.paint(spot, 0)
    assert labels.data[spot] == 0
    assert d.controller.session.corrections(d.controller.plane)[spot] == 0
    d.run("refine")
    assert labels.selected_label == 0, "the annotator goes on with what was picked"
    assert table.selected_label() == 0


def test_outlines_only(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    outlines = next(a for a in d.widget.edit.menu_actions if a.objectName() == "outlines")
    outlines.trigger()
    assert d.layer().contour > 0
    assert not d.controller.session.corrections(d.controller.plane) is not None
    outlines.trigger()
    assert d.layer().contour == 0


def test_typed_but_not_entered_names_are_meant(desk, photo):
    d = desk(photo)
    d.control("new_class").setText(NAMES)
    d.run("auto_segment")
    assert d.layer().data.any()


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
    assert d.control("classes").model().rowCount() == 2
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


def test_suggestions_are_said_in_words():
    from napari_wildseg.gui.controls.bars import group_by_score

    names = [("cup", 0.9), ("spoon", 0.5), ("bowl", 0.49), ("fork", 0.29), ("cat", 0.1)]
    assert group_by_score(names) == [
        ("In the image", names[:2]),
        ("Perhaps", names[2:3]),
        ("Or pick", names[3:]),
    ]
    assert group_by_score([("cat", None)]) == [("In the image", [("cat", None)])]
    assert group_by_score([]) == []
