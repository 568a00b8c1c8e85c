"""The class table shows a class list and asks for changes."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor

from napari_wildseg.engine.classes import ClassInfo, parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.gui.controls.class_table import AREA, LOCK, NAME, ClassTable, swatch
from napari_wildseg.gui.layers import class_list as class_list

CLASSES = parse_classes("cat, cup of coffee=cup|mug")


@pytest.fixture
def table(qtbot):
    made = ClassTable()
    qtbot.addWidget(made)
    made.classes.show(CLASSES, frozenset())
    return made


def cell(table, row, column, role=Qt.ItemDataRole.DisplayRole):
    return table.model().index(row, column).data(role)


def test_rows_show_name_area_and_prompts(table):
    table.classes.show_areas({0: 0.5, 1: 0.4996, 2: 0.0004})
    assert table.model().rowCount() == 3
    assert cell(table, 2, NAME) == "background"
    assert cell(table, 2, AREA) == "50.0 %"
    assert table.model().flags(table.model().index(2, NAME)) & Qt.ItemFlag.ItemIsSelectable
    assert not table.model().flags(table.model().index(2, NAME)) & Qt.ItemFlag.ItemIsEditable
    assert cell(table, 1, NAME) == "cup of coffee"
    assert cell(table, 1, NAME, Qt.ItemDataRole.EditRole) == "cup of coffee=cup|mug"
    assert cell(table, 0, AREA) == "50.0 %"
    assert cell(table, 1, AREA) == "<0.1 %"
    assert "cup, mug" in cell(table, 1, NAME, Qt.ItemDataRole.ToolTipRole)


def test_areas_are_blank_before_there_are_labels(table):
    assert cell(table, 0, AREA) == ""


def test_renaming_and_hiding_are_asked_for(table, qtbot):
    model = table.model()
    with qtbot.waitSignal(model.rename_requested) as asked:
        model.setData(model.index(0, NAME), "lynx")
    assert asked.args == [1, "lynx"]
    with qtbot.waitSignal(model.visibility_requested) as asked:
        model.setData(model.index(1, NAME), Qt.CheckState.Unchecked, Qt.ItemDataRole.CheckStateRole)
    assert asked.args == [2, False]
    with qtbot.assertNotEmitted(model.rename_requested):
        model.setData(model.index(1, NAME), "cup of coffee=cup|mug")


def test_the_padlock_and_its_key_ask_for_locking(table, qtbot):
    model = table.model()
    role = Qt.ItemDataRole.AccessibleTextRole
    assert cell(table, 0, LOCK, role) == "not locked"
    with qtbot.waitSignal(model.lock_requested) as asked, qtbot.assertNotEmitted(table.picked):
        table.clicked.emit(model.index(1, LOCK))
    assert asked.args == [2, True]
    table.classes.show(CLASSES, frozenset(), None, frozenset({2}))
    assert cell(table, 1, LOCK, role) == "locked"
    assert "no run takes pixels" in cell(table, 1, LOCK, Qt.ItemDataRole.ToolTipRole)
    table.select_class(2)
    with qtbot.waitSignal(model.lock_requested) as asked:
        qtbot.keyClick(table, Qt.Key.Key_L)
    assert asked.args == [2, False]


def test_delete_key_asks_for_removal_and_return_picks(table, qtbot):
    table.select_class(2)
    with qtbot.waitSignal(table.removal_requested) as asked:
        qtbot.keyClick(table, Qt.Key.Key_Delete)
    assert asked.args == [2]
    with qtbot.waitSignal(table.picked) as picked:
        qtbot.keyClick(table, Qt.Key.Key_Return)
    assert picked.args == [2]
    table.select_class(0)
    with qtbot.waitSignal(table.picked) as picked, qtbot.assertNotEmitted(table.removal_requested):
        qtbot.keyClick(table, Qt.Key.Key_Delete)
        qtbot.keyClick(table, Qt.Key.Key_Return)
    assert picked.args == [0]


def test_swatch_has_the_colour(qtbot):
    image = swatch((230, 159, 0)).pixmap(14, 14).toImage()
    assert QColor(image.pixel(image.width() // 2, image.height() // 2)).getRgb()[:3] == (
        230,
        159,
        0,
    )


def test_the_empty_table_says_what_to_do(qtbot):
    table = ClassTable()
    qtbot.addWidget(table)
    table.resize(250, 120)
    blank = table.grab().toImage()
    table.classes.show(CLASSES, frozenset())
    assert blank != table.grab().toImage()


def test_ids_stay_with_their_class():
    three = class_list.added((), "cat, dog, cow")
    left = [c for c in three if c.name != "dog"]
    four = class_list.added(left, "hen", used={1, 2, 3})
    assert [(c.id, c.name) for c in four] == [(1, "cat"), (3, "cow"), (4, "hen")]
    again = class_list.added(left, "hen")
    assert [(c.id, c.name) for c in again] == [(1, "cat"), (3, "cow"), (2, "hen")]
    renamed = class_list.renamed(four, 3, "ox=ox|bull")
    assert renamed[1].name == "ox"
    assert renamed[1].id == 3
    assert class_list.as_typed(renamed[1]) == "ox=ox|bull"
    assert class_list.recoloured(four, 4, (1, 2, 3))[2].colour == (1, 2, 3)


@pytest.mark.parametrize("text", ["", "  ,", "dog, =cat"])
def test_names_that_cannot_be_added(text):
    with pytest.raises(InputError):
        class_list.added(parse_classes("cat"), text)


def test_too_many_classes():
    many = [ClassInfo(i, f"c{i}", (f"c{i}",), (0, 0, 0)) for i in range(1, 255)]
    with pytest.raises(InputError, match="254"):
        class_list.added(many, "one more")
