"""Photo after photo: labels are written, the picture is put away, the next one is shown."""

from __future__ import annotations

import numpy as np
import pytest
from npe2 import PluginManager
from PIL import Image as Picture
from qtpy.QtWidgets import QMessageBox

from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.gui.actions.label_meanings import LabelMeanings
from napari_wildseg.gui.actions.next_image import pictures_after, read_next
from napari_wildseg.gui.controls.export_dialog import ExportDialog
from napari_wildseg.gui.export import BESIDE, PATTERN, Choice, suited_pattern
from napari_wildseg.gui.layers import class_list
from napari_wildseg.io import LabelImage, read_labels


def small(photo, turn):
    return np.ascontiguousarray(np.rot90(photo[:96, :128], turn))


@pytest.fixture
def folder(tmp_path, photo):
    """A folder of five pictures, one of them broken, and a file that is none."""
    made = tmp_path / "pictures"
    made.mkdir()
    for number, name in enumerate(("a.png", "b.png", "D.png", "e.png")):
        Picture.fromarray(small(photo, number)).save(made / name)
    (made / "c.png").write_bytes(b"broken")
    (made / "notes.txt").write_text("nothing")
    return made


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Answer the export dialog with PNG files in a folder; how often it was asked."""
    out = tmp_path / "out"
    out.mkdir()
    times: list[Choice] = []

    def ask(dialog):
        times.append(dialog.choice())
        return Choice("png", out)

    monkeypatch.setattr(ExportDialog, "ask", ask)
    monkeypatch.setattr(QMessageBox, "question", lambda *a: QMessageBox.StandardButton.Yes)
    return times


def drain(steps):
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


def test_pictures_of_a_folder_go_round_and_leave_labels_out(folder):
    PluginManager.instance().discover()  # as napari does when it starts
    (folder / "a.labels.png").write_bytes((folder / "a.png").read_bytes())
    assert [f.name for f in pictures_after(folder / "b.png")] == [
        "c.png",
        "D.png",
        "e.png",
        "a.png",
    ]
    path, layers, left_out = drain(read_next(folder / "b.png", {folder / "a.png"}))
    assert (path.name, left_out) == ("D.png", ["c.png"])
    assert layers[0][0].shape == (96, 128, 3)
    assert drain(read_next(folder / "gone" / "x.png")) is None


def test_files_that_disagree_are_told(tmp_path):
    def labels(names, image):
        return LabelImage.from_array(np.zeros((2, 2), np.uint8), parse_classes(names), image=image)

    meanings = LabelMeanings()
    assert meanings.note(tmp_path, labels("cat, dog", "one")) == ""
    assert meanings.note(tmp_path, labels("cat, dog, cow", "two")) == ""
    assert meanings.note(tmp_path / "else", labels("dog", "three")) == ""
    told = meanings.note(tmp_path, labels("cat, cow", "four"))
    assert told.startswith("Label 2 is cow here and dog in one.")
    assert meanings.note(tmp_path, labels("bee, cat", "four")).startswith("Label 1 is bee here")


def test_a_shared_list_keeps_what_painted_pixels_mean():
    common = parse_classes("cat, dog, cow")
    assert class_list.shared(common, ()) == (common, ())
    own = class_list.recoloured(parse_classes("Cat, bird"), 1, (1, 2, 3))
    classes, different = class_list.shared(common, own)
    assert [(c.id, c.name) for c in classes] == [(1, "cat"), (2, "bird"), (3, "cow")]
    assert different == ("dog",)


def test_label_files_beside_pictures_get_names_of_their_own():
    assert suited_pattern("png", PATTERN, beside=True) == BESIDE
    assert suited_pattern("png", BESIDE, beside=False) == PATTERN
    assert suited_pattern("yolo", BESIDE, beside=True) == PATTERN
    assert suited_pattern("voc", BESIDE, beside=True) == PATTERN
    assert suited_pattern("png", "{image}-mine", beside=True) == "{image}-mine"


def test_a_folder_is_done_picture_after_picture(desk, folder, asked, tmp_path):
    d = desk()
    d.viewer.open(folder / "a.png", plugin="napari")
    d.type_names("cup, table")
    first = d.controller.image
    d.click("done_next")
    assert "nothing to export yet" in d.status
    for name in ("a", "b", "D", "e"):
        assert d.controller.image.name == name
        assert [c.name for c in d.controller.classes] == ["cup", "table"]
        d.run("auto_segment")
        shown = d.layer().data.copy()
        d.run("done_next")
        d.qtbot.waitUntil(lambda: not d.controller.working)
        written = read_labels(tmp_path / "out" / f"{name}.png")
        assert (written.labels == shown).all()
        assert written.image == name
    assert len(asked) == 1, "format and folder are asked for once"
    assert asked[0].folder == folder, "it begins where the pictures are"
    assert "last image: 4 images are done" in d.status
    names = [layer.name for layer in d.viewer.layers]
    assert "b" not in names, "pictures that were opened here do not pile up"
    assert names[:6] == ["a", "a pseudo-labels", "a labels", "D", "D pseudo-labels", "D labels"]
    assert names[6:] == ["e", "e pseudo-labels", "e labels"]
    assert not any(layer.visible for layer in list(d.viewer.layers)[:3])
    d.qtbot.waitUntil(lambda: not d.controller.memory.learning)
    assert d.controller.memory.summary.images == 4
    d.controller.choose_image(first)
    assert first.visible
    assert d.viewer.layers["a labels"].visible
    assert not d.controller.session.left_over


def test_pictures_of_the_layer_list_each_keep_their_classes(desk, photo, asked, tmp_path):
    d = desk(small(photo, 0), "cup", name="one")
    one = d.controller.image
    d.run("auto_segment")
    d.viewer.add_image(small(photo, 1), name="two")
    d.controller.choose_image(d.viewer.layers["two"])
    d.controller.remove_class(1)
    d.type_names("spoon")
    d.run("auto_segment")
    d.run("done_next")
    assert d.controller.image is one
    assert [c.name for c in d.controller.classes] == ["cup"]
    assert not d.viewer.layers["two"].visible
    assert d.viewer.layers["one"].visible
    d.run("done_next")
    assert "Label 1 is cup here and spoon in two" in d.status
    assert {f.name for f in (tmp_path / "out").glob("*.png")} == {"one.png", "two.png"}


def test_one_list_for_all_images(desk, photo):
    d = desk(small(photo, 0), "cup, table", name="one")
    d.run("auto_segment")
    pin = d.control("same_classes")
    assert not pin.isHidden()
    pin.setChecked(True)
    d.viewer.add_image(small(photo, 1), name="two")
    d.controller.choose_image(d.viewer.layers["two"])
    d.controller.remove_class(1)
    d.type_names("spoon")
    assert [(c.id, c.name) for c in d.controller.classes] == [(2, "table"), (3, "spoon")]
    d.controller.choose_image(d.viewer.layers["one"])
    assert [(c.id, c.name) for c in d.controller.classes] == [
        (1, "cup"),
        (2, "table"),
        (3, "spoon"),
    ]
