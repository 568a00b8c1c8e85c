"""Export and project files, as an annotator uses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qtpy.QtWidgets import QDialogButtonBox, QFileDialog, QMessageBox

from napari_wildseg.gui.controls.export_dialog import ExportDialog
from napari_wildseg.gui.export import Choice, name_of
from napari_wildseg.gui.layers.display import Plane
from napari_wildseg.io import COCODataSet, VOCDataSet, load_project, read_labels

NAMES = "cup of coffee=cup|mug, table"


@pytest.fixture
def answers(monkeypatch):
    """Answer dialogs: set what is chosen; every question is noted."""

    class Answers:
        choice: Choice | None = None
        path = ""
        reply = QMessageBox.StandardButton.Yes
        asked: list[str] = []  # noqa: RUF012

    def question(parent, title, text, *rest):
        given.asked.append(text)
        return given.reply

    given = Answers()
    given.asked = []
    monkeypatch.setattr(ExportDialog, "ask", lambda self: given.choice)
    monkeypatch.setattr(QMessageBox, "question", question)
    for name in ("getSaveFileName", "getOpenFileName"):
        monkeypatch.setattr(QFileDialog, name, lambda *a, **k: (given.path, ""))
    return given


def act(d, name):
    """Press one of the buttons of project files."""
    d.run(name)


def labelled(d, number=1):
    """Segment, and paint a dab into the labels."""
    d.run("auto_segment")
    layer = d.layer()
    layer.mode = "paint"
    layer.brush_size = 9
    layer.paint((20, 20), number)
    return layer


def test_export_asks_before_it_replaces(desk, photo, tmp_path, answers):
    d = desk(photo, NAMES)
    layer = labelled(d)
    answers.choice = Choice("png", tmp_path, "labels")
    d.run("export")
    assert answers.asked == []
    before = (tmp_path / "labels.png").read_bytes()
    layer.paint((60, 60), 2)
    answers.reply = QMessageBox.StandardButton.No
    d.run("export")
    assert answers.asked.pop() == "Replace labels.png and labels.json?"
    assert (tmp_path / "labels.png").read_bytes() == before
    answers.reply = QMessageBox.StandardButton.Yes
    d.run("export")
    assert answers.asked.pop() == "Replace labels.png and labels.json?"
    assert (read_labels(tmp_path / "labels.png").labels == layer.data).all()
    answers.choice = None
    d.run("export")
    assert answers.asked == []


def test_export_never_replaces_a_file_of_another_program(desk, photo, tmp_path, answers):
    d = desk(photo, NAMES)
    labelled(d)
    (tmp_path / "labels.json").write_text("mine")
    answers.choice = Choice("png", tmp_path, "labels")
    d.run("export")
    assert (tmp_path / "labels.json").read_text() == "mine"
    assert not (tmp_path / "labels.png").exists()
    assert "labels.json" in d.status


def test_formats_side_by_side_replace_nothing_of_each_other(desk, photo, tmp_path, answers):
    d = desk(photo, NAMES, name="photo")
    layer = labelled(d)
    for format in ("png", "coco", "ome-tiff", "tif", "npz"):
        answers.choice = Choice(format, tmp_path)
        d.run("export")
    assert answers.asked == []
    for file in tmp_path.iterdir():
        answers.path = str(file)  # the sidecar, too, opens what it describes
        act(d, "open_project")
        assert "Opened: 2 classes" in d.status, file.name
        assert (d.layer().data == layer.data).all()
        answers.asked.clear()


def test_an_image_whose_labels_are_in_a_file_makes_way(desk, photo, tmp_path, answers):
    d = desk(photo, NAMES, name="photo")
    labelled(d)
    answers.path = str(tmp_path / "work.wildseg")
    act(d, "save_project")
    d.run("refine")
    d.viewer.add_image(photo[::-1], name="second")
    assert d.controller.image.name == "photo"
    act(d, "open_project")
    d.viewer.add_image(photo[:, ::-1], name="third")
    assert d.controller.image.name == "third"


def test_every_format_from_the_dialog(desk, photo, tmp_path, answers):
    d = desk(photo, NAMES, name="a cup", scale=(0.5, 0.25), units=("um", "um"), translate=(3, 4))
    layer = labelled(d)
    for format in ("ome-tiff", "coco", "yolo", "ome-zarr", "npz"):
        folder = tmp_path / format
        folder.mkdir()
        answers.choice = Choice(format, folder, unlabelled="nearest")
        d.run("export")
        (path,) = (p for p in folder.iterdir() if p.suffix != ".json" or format == "coco")
        assert path.name.startswith("a_cup.")
        found = read_labels(path)
        assert (found.labels == layer.data).all(), format
        assert found.classes[0].name == "cup of coffee", format
        assert found.classes[0].prompts == ("cup", "mug"), format
        calibration = (found.scale, found.translate, found.units)
        assert calibration == ((0.5, 0.25), (3, 4), "micrometer"), format
        assert (found.corrections[19:22, 19:22] == 1).all(), format


def test_all_images_and_what_is_unlabelled(desk, photo, tmp_path, answers):
    d = desk(photo, NAMES, name="first")
    d.run("auto_segment")
    d.viewer.add_image(photo[::-1], name="second")
    d.widget.image.image.value = d.viewer.layers["second"]
    d.control("refine_at_once").setChecked(False)
    d.run("auto_segment")
    assert (d.layer(" pseudo-labels").data == 255).any()
    answers.choice = Choice("png", tmp_path, all_images=True)
    d.run("export")
    assert (read_labels(tmp_path / "second.png").labels == 255).any()
    assert (tmp_path / "first.png").exists()
    answers.choice = Choice("tif", tmp_path, all_images=True, unlabelled="background")
    d.run("export")
    assert not (read_labels(tmp_path / "second.tif").labels == 255).any()
    answers.choice = Choice("tif", tmp_path, pattern="same", all_images=True)
    d.run("export")
    assert "would both be called" in d.status
    assert not (tmp_path / "same.tif").exists()


def test_data_sets_grow(desk, photo, tmp_path, answers):
    d = desk(photo, NAMES, name="one")
    layer = labelled(d)
    for format in ("voc", "coco-set"):
        answers.choice = Choice(format, tmp_path)
        d.run("export")
    assert [c.name for c in VOCDataSet(tmp_path).classes] == ["cup of coffee", "table"]
    assert [c.name for c in COCODataSet(tmp_path).classes] == ["cup of coffee", "table"]
    mask = read_labels(tmp_path / "VOCdevkit/VOC2012/SegmentationClass/one.png")
    assert (mask.labels == layer.data).all()


def test_a_stack_goes_into_one_file_or_into_many(desk, photo, tmp_path, answers):
    d = desk(np.stack([photo, photo[::-1]]), NAMES, name="s", rgb=True, scale=(4, 0.5, 0.5))
    d.viewer.dims.set_current_step(0, 1)
    d.run("auto_segment")
    layer = d.layer()
    assert layer.data.shape == (2, 200, 300)
    answers.choice = Choice("tif", tmp_path, all_planes=True)
    d.run("export")
    found = read_labels(tmp_path / "s.tif")
    assert (found.labels == layer.data).all()
    assert found.scale == (4, 0.5, 0.5)
    answers.choice = Choice("png", tmp_path, all_planes=True)
    d.run("export")
    assert (read_labels(tmp_path / "s_0001.png").labels == layer.data[1]).all()
    assert not (tmp_path / "s_0000.png").exists()  # nobody worked on it


def test_a_folder_that_went_away_is_a_sentence(desk, photo, tmp_path, answers):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    answers.choice = Choice("png", tmp_path / "gone")
    d.run("export")
    assert d.status == f"There is no folder {tmp_path / 'gone'}: choose another."
    assert not (tmp_path / "gone").exists()
    (tmp_path / "gone").touch()
    d.run("export")
    assert d.status == f"{tmp_path / 'gone'} is a file, not a folder: choose another."


def test_the_dialog_offers_and_says_what_it_does(desk, photo, tmp_path):
    d = desk(photo, NAMES, name="photo")
    d.run("auto_segment")
    dialog = ExportDialog(Choice("png", tmp_path), d.widget.export._preview, parent=d.widget)
    ok = dialog.ok
    assert isinstance(dialog.buttons, QDialogButtonBox)
    assert dialog.about.text() == "Writes photo.png and photo.json."
    dialog.pattern.setText("{image}-{plane}/x")
    assert not ok.isEnabled()
    dialog.pattern.setText("größe {image}")
    assert ok.isEnabled()
    dialog.folder.setText(str(tmp_path / "none"))
    assert not ok.isEnabled()
    assert dialog.about.text() == f"There is no folder {tmp_path / 'none'}."
    (tmp_path / "file").touch()
    dialog.folder.setText(str(tmp_path / "file"))
    assert not ok.isEnabled()
    assert dialog.about.text() == f"{tmp_path / 'file'} is a file, not a folder."
    dialog.folder.setText(" ")
    assert not ok.isEnabled()
    assert dialog.about.text() == "Choose the folder."
    dialog.folder.setText("~")
    assert dialog.choice().folder == Path.home()
    dialog.folder.setText(".")
    assert dialog.choice().folder == Path.cwd()
    for nothing_to_choose in (dialog.all_images, dialog.all_planes):
        assert nothing_to_choose.isHidden()
        assert not nothing_to_choose.isChecked()
    dialog.folder.setText(str(tmp_path))
    dialog.format.setCurrentIndex(dialog.format.findData("coco"))
    assert dialog.about.text() == "Writes größe photo.coco.json."
    dialog.format.setCurrentIndex(dialog.format.findData("voc"))
    assert dialog.about.text() == "Adds größe photo to the data set in this folder, or starts one."
    dialog.format.setCurrentIndex(dialog.format.findData("yolo"))
    dialog.unlabelled.setCurrentIndex(dialog.unlabelled.findData("background"))
    assert dialog.choice() == Choice("yolo", tmp_path, "größe {image}", unlabelled="background")
    assert name_of(dialog.choice(), d.controller.session, Plane((None, None))) == "größe photo"


def test_the_very_same_state_on_another_day(desk, photo, tmp_path, answers):
    d = desk(photo, NAMES, name="photo", scale=(0.5, 0.25))
    labelled(d, 2)
    d.run("refine")
    d.layer().paint((60, 60), 1)
    d.slide(0.3)
    assert "Threshold 0.30" in d.status
    d.rest()
    assert "Refined" in d.status
    d.widget.controller.recolour_class(1, (1, 2, 3))
    d.widget.controller.show_class(2, False)
    pseudo = d.layer(" pseudo-labels")
    pseudo.visible = True
    pseudo.paint((100, 100), 2)
    before = d.controller
    answers.path = str(tmp_path / "work")
    act(d, "save_project")
    assert "Saved work.wildseg" in d.status
    saved = load_project(tmp_path / "work.wildseg")
    assert saved.labels.classes == before.classes

    other = desk(photo, name="photo", scale=(0.5, 0.25))
    answers.path = str(tmp_path / "work.wildseg")
    act(other, "open_project")
    assert "Opened: 2 classes, " in other.status
    assert "other pixels" not in other.status
    after = other.controller
    plane = Plane((None, None))
    assert after.classes == before.classes
    assert (after.threshold, after.model) == (before.threshold, before.model)
    assert other.control("threshold").value() == 0.3
    assert after.session.hidden == before.session.hidden == {2}
    for suffix in (" labels", " pseudo-labels"):
        assert (other.layer(suffix).data == d.layer(suffix).data).all()
    for kind in ("labels", "pseudo"):
        one, two = (c.session.tracked[kind].decided(plane) for c in (before, after))
        assert (one == two).all()
        assert (one != 255).any()
    # And the next Refine gives the same on both.
    d.run("refine")
    other.run("refine")
    assert (other.layer().data == d.layer().data).all()


def test_a_project_of_another_image(desk, photo, tmp_path, answers):
    d = desk(photo, NAMES, name="photo")
    labelled(d)
    answers.path = str(tmp_path / "work.wildseg")
    act(d, "save_project")
    d.widget.image.image.value = d.viewer.add_image(photo[:50], name="small")
    act(d, "open_project")
    assert "choose the image they were made for" in d.status
    assert len([la for la in d.viewer.layers if la.name.startswith("small")]) == 1
    d.widget.image.image.value = d.viewer.add_image(255 - photo, name="negative")
    act(d, "open_project")
    assert "Opened: 2 classes, 69 corrected pixels. Its image had other pixels" in d.status
    answers.path = str(tmp_path / "broken.wildseg")
    (tmp_path / "broken.wildseg").write_text("hello")
    act(d, "open_project")
    assert "damaged" in d.status


def test_label_files_of_others_become_labels_to_correct(desk, photo, tmp_path, answers):
    values = np.zeros(photo.shape[:2], np.uint16)
    values[10:50, 10:60] = 7
    import tifffile

    tifffile.imwrite(tmp_path / "others.tif", values)
    d = desk(photo, name="photo")
    answers.path = str(tmp_path / "others.tif")
    act(d, "open_project")
    assert (d.layer().data == values).all()
    assert [c.name for c in d.controller.classes] == ["class 7"]


def test_a_full_disk_is_a_sentence(desk, photo, tmp_path, answers, monkeypatch):
    d = desk(photo, NAMES)
    labelled(d)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_wildseg.io.atomic.sync", full)
    answers.choice = Choice("npz", tmp_path)
    d.run("export")
    assert "no space left" in d.status
    assert list(tmp_path.iterdir()) == []
