"""Objects in the window: split, shown, corrected by strokes, kept in step with the labels."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wildseg.gui.annotation.session import LABELS

from .annotator import stroke

ROWS, COLUMNS = np.mgrid[:80, :120]


def disc(y, x, radius):
    return (ROWS - y) ** 2 + (COLUMNS - x) ** 2 < radius**2


NUCLEI = (disc(40, 24, 14) | disc(40, 48, 14) | disc(40, 90, 16) | disc(10, 110, 3)).astype(
    np.uint8
)
PHOTO = np.where(NUCLEI > 0, 200, 30).astype(np.uint8)


def labelled(d, labels=NUCLEI):
    """Put class labels into the window, as a run does."""
    controller = d.controller
    tracked = controller.layers.tracked(controller.session, controller.image, LABELS)
    tracked.write(controller.plane, labels)
    controller.areas_changed.emit()
    d.wait()
    return tracked


def settled(d):
    """Wait until the objects are up to date."""
    d.qtbot.waitUntil(lambda: not d.controller.objects.busy)


@pytest.fixture
def split(desk):
    """A window with nuclei that were split; and the layer of objects."""
    d = desk(PHOTO, "nucleus", name="cells", scale=(0.5, 0.5), translate=(3, 4))
    labelled(d)
    d.run("split_objects")
    settled(d)
    return d, d.layer(" objects")


def ids(layer):
    return set(np.unique(layer.data[layer.data > 0]).tolist())


def at(layer, *columns):
    return [int(layer.data[40, x]) for x in columns]


def rows(d):
    model = d.control("objects_table").rows
    return [
        [model.data(model.index(row, column)) for column in range(3)]
        for row in range(model.rowCount())
    ]


def test_split_makes_a_layer_a_table_and_a_status(split):
    d, layer = split
    assert len(ids(layer)) == 4
    assert len(set(at(layer, 24, 48, 90))) == 3
    assert tuple(layer.scale) == (0.5, 0.5)
    assert tuple(layer.translate) == (3, 4)
    number = at(layer, 90)[0]
    area = int((layer.data == number).sum())
    said = layer.get_status((3 + 20, 4 + 45), world=True)["value"]
    assert "class: nucleus" in said
    assert f"area: {area}" in said
    table = rows(d)
    assert [row[2] for row in table] == sorted((row[2] for row in table), key=int)
    assert table[0] == [str(int(layer.data[10, 110])), "nucleus", str(disc(10, 110, 3).sum())]
    assert d.control("objects_count").text() == "4 objects"


def test_a_row_shows_its_object_and_selects_its_id(split):
    d, layer = split
    table = d.control("objects_table")
    number = at(layer, 90)[0]
    camera = getattr(d.viewer, "scene", d.viewer).camera
    before = camera.zoom
    table.selectRow(table.rows.row_of(number))
    assert layer.selected_label == number
    assert d.viewer.layers.selection.active is layer
    assert np.allclose(camera.center[-2:], (3 + 20, 4 + 45), atol=0.5)
    speck = int(layer.data[10, 110])
    table.selectRow(table.rows.row_of(speck))
    assert np.allclose(camera.center[-2:], (3 + 5, 4 + 55), atol=0.5)
    assert camera.zoom > before, "a speck is shown larger"
    layer.selected_label = at(layer, 24)[0]
    assert table.current() == at(layer, 24)[0]


def test_a_stroke_merges_and_one_undo_takes_it_back(split):
    d, layer = split
    before = layer.data.copy()
    one, _, three = at(layer, 24, 48, 90)
    layer.mode, layer.selected_label, layer.brush_size = "paint", one, 3
    stroke(d.viewer, layer, [(40, 24), (40, 60), (40, 90)])
    settled(d)
    assert set(at(layer, 24, 48, 70, 90)) == {one}
    assert three not in ids(layer)
    merged = layer.data.copy()
    layer.undo()
    settled(d)
    assert np.array_equal(layer.data, before)
    assert d.controller.session.objects.strokes(d.controller.plane) is None
    assert len(rows(d)) == 4
    layer.redo()
    settled(d)
    assert np.array_equal(layer.data, merged)
    assert d.controller.session.objects.strokes(d.controller.plane) is not None


def test_a_cut_divides_and_takes_no_pixel_away(split):
    d, layer = split
    before = layer.data.copy()
    whole = at(layer, 90)[0]
    d.click("cut_objects")
    stroke(d.viewer, layer, [(20, 90), (40, 90), (60, 90)])
    settled(d)
    left, right = at(layer, 80, 100)
    assert left != right
    assert whole in (left, right)
    assert ((layer.data > 0) == (before > 0)).all()
    layer.undo()
    settled(d)
    assert np.array_equal(layer.data, before)
    # A cut that ends inside divides nothing, and says so.
    stroke(d.viewer, layer, [(28, 90), (36, 90)])
    settled(d)
    assert np.array_equal(layer.data, before)
    assert "edge to edge" in d.status
    d.click("cut_objects")
    assert layer.mode != "erase"


def test_corrections_hold_when_the_labels_change(split):
    d, layer = split
    one, _, _ = at(layer, 24, 48, 90)
    layer.mode, layer.selected_label, layer.brush_size = "paint", one, 3
    stroke(d.viewer, layer, [(40, 24), (40, 48)])
    settled(d)
    d.click("cut_objects")
    stroke(d.viewer, layer, [(20, 90), (60, 90)])
    settled(d)
    left, right = at(layer, 80, 100)
    more = NUCLEI | disc(70, 20, 8) | disc(40, 90, 19)
    labelled(d, more.astype(np.uint8))
    settled(d)
    assert at(layer, 24, 48, 80, 100) == [one, one, left, right]
    assert layer.data[70, 20] > 0
    assert ((layer.data > 0) == (more > 0))[1:].all()
    # The labels go back, and so do the objects.
    d.layer(" labels").undo()
    settled(d)
    assert layer.data[70, 20] == 0
    assert at(layer, 24, 48, 80, 100) == [one, one, left, right]


def test_a_new_id_draws_an_object_and_the_eraser_removes_pixels(split):
    d, layer = split
    layer.mode, layer.selected_label, layer.brush_size = "paint", 500, 5
    stroke(d.viewer, layer, [(70, 60), (70, 80)])
    settled(d)
    assert layer.data[70, 70] == 500
    assert [500, "nucleus"] in [[int(row[0]), row[1]] for row in rows(d)]
    layer.mode = "erase"
    stroke(d.viewer, layer, [(40, 24), (40, 24)])
    settled(d)
    assert layer.data[40, 24] == 0
    labelled(d, NUCLEI | disc(70, 20, 8).astype(np.uint8))
    settled(d)
    assert layer.data[70, 70] == 500
    assert layer.data[40, 24] == 0
    assert layer.data[70, 20] > 0


def test_a_class_can_be_one_object_and_specks_are_dropped(split):
    d, layer = split
    d.control("objects_min_size").setValue(40)
    settled(d)
    assert len(ids(layer)) == 3
    d.controller.objects.set_whole(1, True)
    settled(d)
    assert len(ids(layer)) == 1


def test_the_layer_can_be_deleted_and_made_anew_with_its_corrections(split):
    d, layer = split
    layer.mode, layer.selected_label, layer.brush_size = "paint", at(layer, 24)[0], 3
    stroke(d.viewer, layer, [(40, 24), (40, 90)])
    settled(d)
    d.viewer.layers.remove(layer)
    assert not d.control("objects_table").isVisibleTo(d.widget)
    d.run("split_objects")
    settled(d)
    assert len(set(at(d.layer(" objects"), 24, 48, 90))) == 1


def test_there_must_be_labels(desk):
    d = desk(PHOTO, "nucleus")
    assert not d.control("split_objects").isVisibleTo(d.widget)
    d.controller.objects.split()
    assert "nothing to split" in d.status


def test_the_table_is_quick_and_sorts(desk, qtbot):
    from qtpy.QtCore import Qt

    from napari_wildseg.gui.controls.objects_table import ObjectsTable

    table = ObjectsTable()
    qtbot.addWidget(table)
    count = 5000
    areas = [(7919 * n) % count for n in range(count)]
    table.show_objects(list(range(1, count + 1)), ["cell"] * count, areas)
    assert table.rows.ids[0] == 1
    table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
    assert table.rows.ids[0] == count
    chosen = []
    table.chosen.connect(chosen.append)
    table.selectRow(0)
    qtbot.keyClick(table, Qt.Key.Key_Down)
    assert chosen == [count, count - 1]
    table.show_objects([3, count - 1], ["a", "b"], [5, 9])
    assert table.current() == count - 1
    assert len(chosen) == 2


def corrected(d, layer):
    """Merge two nuclei and cut a third; returns where the ids are now."""
    layer.mode, layer.selected_label, layer.brush_size = "paint", at(layer, 24)[0], 3
    stroke(d.viewer, layer, [(40, 24), (40, 48)])
    settled(d)
    d.click("cut_objects")
    stroke(d.viewer, layer, [(20, 90), (60, 90)])
    settled(d)
    return at(layer, 24, 48, 80, 100)


def test_corrections_are_kept_safe_and_restored(split):
    d, layer = split
    found = corrected(d, layer)
    autosave = d.controller.autosave
    autosave.write()
    d.qtbot.waitUntil(lambda: not autosave.step())
    d.viewer.layers.clear()
    d.viewer.add_image(PHOTO.copy(), name="again")
    assert [saved.objects for saved in d.controller.session.left_over] == [True]
    assert "orrections of objects" in d.control("left_over")._text.text()
    d.click("restore")
    assert "objects are restored" in d.status
    d.type_names("nucleus")
    labelled(d)
    d.run("split_objects")
    settled(d)
    assert at(d.layer(" objects"), 24, 48, 80, 100) == found
    autosave.write()
    d.qtbot.waitUntil(lambda: not autosave.step())
    assert len(list(autosave.store.folder.glob("*-objects-*.npz"))) == 1


def test_a_project_brings_objects_and_corrections_back(split, tmp_path):
    from napari_wildseg.gui import state
    from napari_wildseg.io import load_project, save_project

    d, layer = split
    found = corrected(d, layer)
    d.controller.objects.set_min_size(5)
    settled(d)
    file = tmp_path / "cells.wildseg"
    save_project(file, state.to_project(d.controller, d.controller.session))
    shown = layer.data.copy()
    d.viewer.layers.clear()
    d.viewer.add_image(PHOTO.copy(), name="again")
    state.restore_project(d.controller, d.controller.session, load_project(file))
    settled(d)
    layer = d.layer(" objects")
    assert np.array_equal(layer.data, shown)
    assert d.control("objects_min_size").value() == 5
    assert len(rows(d)) == len(ids(layer))
    more = NUCLEI | disc(40, 90, 18) | disc(70, 20, 8)
    labelled(d, more.astype(np.uint8))
    settled(d)
    assert at(layer, 24, 48, 80, 100) == found
    assert layer.data[70, 20] > 0


def test_objects_of_a_stack_go_on_from_plane_to_plane(desk):
    d = desk(np.stack([PHOTO, PHOTO]), "nucleus", name="movie")
    d.viewer.dims.set_current_step(0, 0)
    labelled(d)
    d.run("split_objects")
    settled(d)
    layer = d.layer(" objects")
    first = layer.data[0].copy()
    assert not layer.data[1].any()
    d.viewer.dims.set_current_step(0, 1)
    settled(d)
    assert d.control("objects_count").text() == "0 objects"
    # What is painted before the plane is split is an object, too.
    layer.mode, layer.selected_label, layer.brush_size = "paint", 900, 3
    stroke(d.viewer, layer, [(1, 5, 60), (1, 5, 80)])
    labelled(d, NUCLEI | disc(70, 20, 8).astype(np.uint8))
    d.run("split_objects")
    settled(d)
    same = first > 0
    assert (layer.data[1][same] == first[same]).all()
    assert layer.data[1, 5, 70] == 900
    assert layer.data[1, 70, 20] == 901
    assert (layer.data[0] == first).all()


@pytest.mark.parametrize("format", ["objects-png", "objects-coco", "objects-csv"])
def test_objects_are_exported(split, tmp_path, monkeypatch, format):
    from napari_wildseg.gui.controls.export_dialog import ExportDialog
    from napari_wildseg.gui.export import Choice
    from napari_wildseg.io.objects import read_objects

    d, layer = split
    offered = []

    def ask(dialog):
        offered.append([dialog.format.itemData(i) for i in range(dialog.format.count())])
        return Choice(format, tmp_path)

    monkeypatch.setattr(ExportDialog, "ask", ask)
    d.run("export")
    assert format in offered[0]
    table = (tmp_path / "cells.objects.csv").read_text().splitlines()
    assert len(table) == 5
    assert table[0].startswith("id,class_id,class,area")
    largest = max(float(line.split(",")[3]) for line in table[1:])
    assert largest == (NUCLEI[:, 70:] > 0).sum() / 4 - disc(10, 110, 3).sum() / 4
    if format != "objects-csv":
        name = {"objects-png": "cells.objects.png", "objects-coco": "cells.objects.coco.json"}
        found = read_objects(tmp_path / name[format])
        assert (found.ids == layer.data).all()
    assert d.controller.session.unsaved, "the labels are in no file yet"
    # File > Save writes the objects, too.
    layer.save(str(tmp_path / "saved.png"), plugin="napari-wildseg")
    assert (read_objects(tmp_path / "saved.png").ids == layer.data).all()


def test_a_mask_that_was_opened_is_split(desk):
    d = desk(PHOTO, "nucleus", name="cells")
    d.viewer.add_labels(NUCLEI, name="mask")
    d.run("split_objects")
    settled(d)
    assert len(ids(d.layer(" objects"))) == 4
    assert rows(d)[0][1] == "nucleus"


def test_quick_strokes_and_undo_between_them(split):
    """Strokes that come before the first one was worked out lose nothing."""
    d, layer = split
    one, two, three = at(layer, 24, 48, 90)
    before = layer.data.copy()
    layer.mode, layer.selected_label, layer.brush_size = "paint", one, 3
    stroke(d.viewer, layer, [(40, 24), (40, 48)])
    layer.selected_label = 77
    stroke(d.viewer, layer, [(70, 60), (70, 80)])
    settled(d)
    assert at(layer, 24, 48, 90) == [one, one, three]
    assert layer.data[70, 70] == 77
    while (layer.data != before).any():
        layer.undo()
        settled(d)
    assert d.controller.session.objects.strokes(d.controller.plane) is None
    # A stroke that is undone before it was worked out leaves nothing.
    layer.selected_label = two
    stroke(d.viewer, layer, [(40, 48), (40, 90)])
    layer.undo()
    settled(d)
    assert np.array_equal(layer.data, before)
    assert d.controller.session.objects.strokes(d.controller.plane) is None
