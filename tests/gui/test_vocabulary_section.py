"""Vocabulary, search, the auto switch and class sets in the real window."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_wildseg.gui.controls.as_typed import quoted
from napari_wildseg.gui.sections.names_section import unfamiliar
from napari_wildseg.gui.sections.vocabulary_section import load_classes, save_classes
from napari_wildseg.io.class_sets import write_class_set


@pytest.mark.parametrize("name", ["cat", "salt, pepper", 'a "big" one, red'])
def test_quoted_names_are_one_class(name):
    from napari_wildseg.engine.classes import parse_classes

    assert [c.name for c in parse_classes(quoted(name))] == [name]


BLANK = np.zeros((20, 30, 3), np.uint8)


def test_classes_go_to_a_file_and_come_back(desk, tmp_path):
    d = desk(BLANK, "cat, cup of coffee=cup|mug")
    kept = d.controller.classes
    path = save_classes(d.controller, tmp_path / "mine.json")
    d.controller.set_classes(())
    assert load_classes(d.controller, path)
    assert d.controller.classes == kept
    assert load_classes(d.controller, path)  # again: nothing is doubled
    assert d.controller.classes == kept


def test_ids_that_are_taken_here_give_way_and_it_is_said(desk, tmp_path):
    d = desk(BLANK, "dog")
    path = write_class_set(tmp_path / "mine.json", "cat")
    assert load_classes(d.controller, path)
    assert [(c.id, c.name) for c in d.controller.classes] == [(1, "dog"), (2, "cat")]
    assert "New ids, since theirs are taken here: cat." in d.status


def test_a_file_that_is_no_class_set_is_explained(desk, tmp_path):
    d = desk(BLANK)
    (tmp_path / "x.json").write_text("[]")
    assert not load_classes(d.controller, tmp_path / "x.json")
    assert "not a class set" in d.status


def test_unknown_names_are_marked_in_the_table(desk):
    d = desk(BLANK, "cat, flurble")
    model = d.control("classes").classes
    assert model.data(model.index(0, 0)) == "cat"
    assert model.data(model.index(1, 0)) == "flurble  (?)"
    assert "does not know" in model.data(model.index(1, 0), Qt.ItemDataRole.ToolTipRole)
    assert list(unfamiliar(d.controller.classes, "starter")) == [2]
    assert unfamiliar(d.controller.classes, "ViT-B-16/openai") == {}


def test_search_finds_and_adds(desk):
    d = desk(BLANK)
    section = d.control("vocabulary_section")
    section.search.setText("zeb")
    section.search.textEdited.emit("zeb")
    d.qtbot.waitUntil(lambda: section._found.stringList() == ["zebra"])
    section.search.setText("zebra")
    section.search.returnPressed.emit()
    assert [c.name for c in d.controller.classes] == ["zebra"]
    assert section.search.text() == ""


def test_the_vocabulary_can_be_chosen(desk):
    d = desk(BLANK)
    box = d.control("vocabulary")
    place = box.findData("lvis")
    box.setCurrentIndex(place)
    box.activated.emit(place)
    assert d.controller.vocabulary == "lvis"
    assert "Licence" in box.itemData(place, Qt.ItemDataRole.ToolTipRole)


def test_the_auto_switch_names_and_segments(desk, photo):
    d = desk(photo)
    d.control("auto_names").setChecked(True)
    d.click("auto_segment")
    d.qtbot.waitUntil(lambda: len(d.viewer.layers) == 3 and not d.controller.working)
    names = {c.name for c in d.controller.classes}
    assert "cup" in names
    there = set(np.unique(d.layer().data).tolist())
    assert there == {0, *(c.id for c in d.controller.classes)}


def test_names_of_the_auto_switch_without_pixels_go_again(desk):
    d = desk(BLANK, "dog")
    automatic = d.controller.auto_names
    d.controller.add_classes("kite")
    automatic._added = {2: "kite"}
    said = automatic.finish({0, 1}, d.controller.session)
    assert said == "Dropped, since no pixels were found: kite."
    assert [c.name for c in d.controller.classes] == ["dog"]
