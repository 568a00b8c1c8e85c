"""A mask that was opened is refined as it is; Auto-segment asks before it replaces it."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer

from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.gui.layer_files import read_labels_layer
from napari_wildseg.gui.layers.opened_labels import _rows
from napari_wildseg.gui.state import restore_project
from napari_wildseg.io import LabelImage, Project, write_labels

from .annotator import NAMES, paint

ROWS, COLUMNS = np.mgrid[:100, :150]
DISC = (((ROWS - 45) / 30) ** 2 + ((COLUMNS - 80) / 40) ** 2 < 1).astype(np.uint8)


@pytest.fixture
def small(photo):
    return np.ascontiguousarray(photo[::2, ::2])


def named(text):
    return {info.id: info for info in parse_classes(text)}


@pytest.mark.parametrize(
    ("typed", "brought", "present", "rows"),
    [
        ("cup, spoon", "", {1, 2}, {1: "cup", 2: "spoon"}),
        ("cup", "", {1, 7}, {1: "cup", 7: "class 7"}),
        ("Spoon, cup", "cup, spoon", {1}, {1: "cup", 2: "Spoon"}),
        ("table, cup", "cup, spoon", {1}, {1: "cup", 2: "spoon", 3: "table"}),
        ("table", "cup", {1, 2}, {1: "cup", 2: "class 2", 3: "table"}),
    ],
)
def test_rows_of_the_table_and_of_a_layer(typed, brought, present, rows):
    found = _rows(parse_classes(typed), named(brought) if brought else {}, present)
    assert {info.id: info.name for info in found} == rows


def test_the_mask_of_another_tool_is_refined_where_it_is_painted(desk, small):
    d = desk(small, NAMES)
    mask = d.viewer.add_labels(DISC.astype(np.int32), name="mask")
    assert "Refine starts from the labels in mask" in d.status
    painted = paint(mask, (90, 20), 3)
    c = d.controller
    c.auto_segment()
    assert not c.working
    assert "would replace labels" in d.status
    d.run("refine")
    assert c.session.layer("labels") is mask
    assert (mask.data[painted] == 3).all()
    assert c.session.decided_pixels(c.plane) == painted.sum()
    far = COLUMNS > 60
    assert ((mask.data == 1) & far).sum() > 0.95 * (DISC.astype(bool) & far).sum()
    mask.undo()
    assert (mask.data[~painted] == DISC[~painted]).all()


def test_the_mask_of_yesterday_keeps_names_and_corrections(desk, small, tmp_path):
    corrections = np.full(DISC.shape, -1, np.int16)
    corrections[:3] = 0
    yesterday = LabelImage.from_array(DISC, parse_classes("plate=dish"), corrections=corrections)
    write_labels(tmp_path / "mask.png", yesterday)
    d = desk(small)
    mask = d.viewer.add_layer(Layer.create(*read_labels_layer(str(tmp_path / "mask.png"))[0]))
    d.run("refine")
    c = d.controller
    assert [(i.name, i.prompts) for i in c.classes] == [("plate", ("dish",))]
    assert c.session.decided_pixels(c.plane) == 3 * 150
    assert (mask.data == DISC).mean() > 0.98
    # The same by "Open project or labels", which writes into a layer of ours.
    other = desk(small, viewer=None)
    c = other.controller
    restore_project(c, c.session, Project(yesterday))
    other.run("refine")
    assert (other.layer().data == DISC).mean() > 0.98
    c.auto_segment()
    assert not c.working
    assert "would replace labels" in other.status


def test_a_layer_of_many_objects_is_told(desk, small):
    d = desk(small, NAMES)
    d.viewer.add_labels(DISC.astype(np.int32) * 300, name="objects")
    d.click("refine")
    assert "objects holds label 300" in d.status
