"""The state line says what is the case: each sentence where it is due, and not where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wildseg.gui.notices import join_names, pluralise
from napari_wildseg.gui.sections.vocabulary_section import load_classes, save_classes

NAMES = "cup of coffee, table"


def test_numbers_of_things():
    assert pluralise(0, "{n} [class|classes]") == "0 classes"
    assert pluralise(1, "{n} [class|classes]") == "1 class"
    assert pluralise(2000, "{n} [class|classes]") == "2,000 classes"


def test_names_of_things():
    assert join_names([]) == ""
    assert join_names(["a"]) == "a"
    assert join_names(["a", "b"]) == "a and b"
    assert join_names("abc") == "a, b and c"
    assert join_names("abcdefg") == "a, b, c, d, e and 2 more"
    assert join_names("abc", 2) == "a, b and 1 more"


def test_channels_are_named_that_are_looked_at_as_one_picture(desk, photo):
    d = desk()
    channels = np.moveaxis(photo, -1, 0)
    d.viewer.add_image(channels, channel_axis=0, name=["actin", "nuclei", "lipid"])
    together = " Channels actin, nuclei and lipid are taken together."
    assert d.status.startswith("Type what is in the image")
    assert d.status.endswith(together)
    d.type_names(NAMES)
    assert d.status == "Ready: press Auto-segment." + together
    d.run("auto_segment")
    # There is work to be exported: others are not gone to, but told of, all of them.
    d.viewer.add_image(photo, name="photo")
    assert d.status == 'To work on "photo", choose it under Image.'
    d.viewer.add_image(channels[:2, ::-1] // 2, channel_axis=0, name=["red", "green"])
    assert d.status == 'To work on "red" and "green", choose one of them under Image.'
    assert d.controller.image.name == "actin"
    d.widget.image.image.value = d.viewer.layers["red"]
    assert d.status == "Ready: press Auto-segment. Channels red and green are taken together."
    d.viewer.layers["green"].visible = False
    d.controller.show_next_step()
    assert d.status == "Ready: press Auto-segment."


def test_what_to_do_next(desk, photo):
    d = desk()
    assert d.status == "Open an image first (File > Open), or the sample photograph above."
    d.viewer.add_image(photo, name="Image")
    assert d.status.startswith("Type what is in the image")
    d.type_names(NAMES)
    assert d.status == "Ready: press Auto-segment."
    d.run("auto_segment")
    assert d.status.startswith("Done in ")
    d.type_names("spoon")
    assert d.status.startswith("Added: press Auto-segment to look for it")
    d.controller.show_next_step()
    assert d.status == "Pick a class and paint what is wrong, then press Refine."


def test_refine_speaks_of_undo_only_where_there_is_something_to_undo(desk, photo):
    d = desk(photo, NAMES)
    d.control("refine_at_once").setChecked(False)
    d.run("auto_segment")
    assert "grey is not sure" in d.status
    d.run("refine")
    assert d.status == "Refined. Paint what is wrong, then press Refine.", "the layer is new"
    labels = d.layer()
    d.run("refine")
    assert d.status == "Refined. Nothing changed. Paint what is wrong, then press Refine."
    before = labels.data.copy()
    labels.brush_size = 40
    labels.paint((100, 150), 1 - int(before[100, 150] == 1))
    painted = labels.data.copy()
    d.run("refine")
    assert " corrected pixels kept" in d.status
    changed = bool((labels.data != painted).any())
    assert changed == ("Ctrl+Z undoes." in d.status)
    assert changed, "what was painted speaks for what looks alike"
    d.viewer.layers.remove(labels)
    d.run("refine")
    assert "Ctrl+Z" not in d.status, "a layer that was deleted comes anew"


def test_confirming_what_is_confirmed_or_not_there(desk, photo):
    d = desk(photo, NAMES)
    d.click("confirm_region")
    assert d.status == "There is nothing to keep yet: press Auto-segment first."
    d.run("auto_segment")
    d.controller.pick_class(1)
    assert (d.layer().data == 1).any()
    d.click("confirm_region")
    assert d.status.endswith("of cup of coffee stay as they are: Refine leaves them alone.")
    d.click("confirm_region")
    assert d.status == "Every pixel of cup of coffee stays as it is already."
    d.type_names("spoon")
    d.controller.pick_class(3)
    d.click("confirm_region")
    assert d.status == "There is no spoon here to keep."


def test_another_model_counts_from_the_next_run(desk, photo):
    d = desk(photo, NAMES)
    d.widget.image.model.setCurrentText("ViT-B-16/openai")
    d.widget.image.apply_model()
    assert d.status == "The next Auto-segment uses ViT-B-16/openai."
    assert d.controller.model == "ViT-B-16/openai"


@pytest.mark.parametrize(("names", "said"), [("cat", "1 class"), ("cat, dog", "2 classes")])
def test_class_sets_kept_and_added(desk, photo, tmp_path, names, said):
    d = desk(photo, names)
    path = save_classes(d.controller, tmp_path / "mine.json")
    assert d.status == f"Kept {said} in mine.json."
    for info in d.controller.classes:
        d.controller.remove_class(info.id)
    load_classes(d.controller, path)
    assert d.status == f"Added {said} of mine.json."


def test_what_became_of_corrections(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    d.layer().paint((30, 40), 2)
    d.controller.confirmations.release()
    assert d.status == "Corrections released: the next Refine decides every pixel again."
    d.layer().paint((60, 40), 1)
    d.viewer.layers.remove(d.layer())
    assert d.status == "The corrections of the deleted layer are kept: see Restore above."
    d.controller.left_over.restore()
    assert d.status.endswith("restored. Press Auto-segment to go on.")


def test_a_run_that_ends_with_another_image_is_told_of(desk, photo):
    d = desk(photo, NAMES)
    first, other = d.controller.image, d.viewer.add_image(photo[::-1], name="other")
    d.widget.image.image.value = first
    d.click("auto_segment")
    assert d.controller.runner.running
    d.widget.image.image.value = other
    assert not d.controller.working
    assert d.status == "The image was changed, so the run was cancelled."
