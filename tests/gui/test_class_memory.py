"""What finished and corrected images teach in the window."""

from __future__ import annotations

import pickle

import numpy as np
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_wildseg.engine.memory import ClassMemory

from .annotator import paint, wrong_spot


def picture(seed):
    """A bright square on a dark, noisy ground, small enough to be quick."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 60, (40, 40, 3)).astype(np.uint8)
    top, left = random.integers(4, 22, 2)
    image[top : top + 14, left : left + 14] += 160
    return image


def learned(desk):
    """Wait until nothing is being learned."""
    desk.qtbot.waitUntil(lambda: not desk.controller.memory.learning)
    return desk.control("memory").text()


def remembered(desk):
    """Return the memory, which the window keeps as bytes."""
    return pickle.loads(desk.controller.memory.current.data)


def trigger(desk, name):
    action = desk.widget.findChild(QAction, name)
    assert action.isEnabled(), name
    action.trigger()


def add(desk, seed, names=None):
    layer = desk.viewer.add_image(picture(seed), name=f"image {seed}", rgb=True)
    desk.controller.choose_image(layer)
    if names:
        desk.type_names(names)
    desk.run("auto_segment")
    return layer


def settings(desk):
    return desk.controller.session.plane_state(desk.controller.plane).settings


def test_finished_images_teach_the_next_and_are_forgotten(desk, monkeypatch, tmp_path):
    desk = desk()
    assert learned(desk) == "Learned from no image"
    add(desk, 0, "square")
    trigger(desk, "remember_image")
    assert learned(desk) == "Learned from 1 image"
    trigger(desk, "remember_image")  # the same labels again: nothing changes
    assert learned(desk) == "Learned from 1 image"
    first = add(desk, 1)
    assert "memory" in settings(desk)
    # Corrected and left for another image: remembered, but not as finished.
    layer = desk.controller.session.layer("labels")
    paint(layer, wrong_spot(layer, 1), 1)
    add(desk, 2)
    assert learned(desk) == "Learned from 2 images"
    memory = remembered(desk)
    assert {image.name: image.finished for image in memory.images} == {
        "image 0": True,
        "image 1": False,
    }
    assert "square: 2 images" in desk.control("memory").toolTip()
    # Off: nothing is used, nothing is added.
    desk.control("memory").setChecked(False)
    desk.run("auto_segment")
    assert "memory" not in settings(desk)
    assert not desk.widget.findChild(QAction, "remember_image").isEnabled()
    desk.control("memory").setChecked(True)
    # A file, and what is forgotten.
    file = tmp_path / "mine.wildmemory"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(file), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a: (str(file), ""))
    monkeypatch.setattr(QMessageBox, "question", lambda *a: QMessageBox.StandardButton.Yes)
    trigger(desk, "memory_save")
    learned(desk)
    assert ClassMemory.load(file).digest == memory.digest
    desk.controller.choose_image(first)
    trigger(desk, "forget_image")
    assert learned(desk) == "Learned from 1 image"
    trigger(desk, "forget_image")
    learned(desk)
    assert "not remembered" in desk.control("status").text()
    trigger(desk, "forget_all")
    assert learned(desk) == "Learned from no image"
    assert desk.controller.memory.current is None
    trigger(desk, "memory_load")
    assert learned(desk) == "Learned from 2 images"
    desk.widget.memory.classes.actions()[0].trigger()
    assert learned(desk) == "Learned from no image"
    trigger(desk, "memory_alike")
    learned(desk)
    assert desk.controller.memory.summary.alike


def test_few_planes_of_a_stack_are_remembered_and_a_cold_image_is_encoded_again(desk):
    desk = desk()
    stack = np.stack([picture(seed) for seed in range(4)])
    layer = desk.viewer.add_image(stack, name="stack", rgb=True)
    desk.controller.choose_image(layer)
    desk.type_names("square")
    for plane in range(4):
        desk.viewer.dims.set_current_step(0, plane)
        desk.run("auto_segment")
        trigger(desk, "remember_image")
        learned(desk)
    memory = remembered(desk)
    names = [image.name for image in memory.images]
    assert (len(names), names[0], names[-1]) == (3, "stack, plane 0", "stack, plane 3")
    # An image whose encoding is gone is learned all the same.
    desk.controller.memory.forget_all()
    learned(desk)
    for state in desk.controller.session.planes.values():
        state.slot.empty()
    desk.controller.memory.finish(desk.controller.session)
    assert learned(desk) == "Learned from 3 images"
    assert all(image.finished for image in remembered(desk).images)


def test_suggest_names_the_classes_that_the_memory_finds(desk):
    desk = desk()
    trigger(desk, "memory_alike")
    for seed in (0, 1):
        image = add(desk, seed, "zorb" if seed == 0 else None)  # no word that the model knows
        true = image.data[..., 0] > 100
        desk.layer().data_setitem(np.nonzero(true), 1)
        desk.layer().data_setitem(np.nonzero(~true), 0)
        trigger(desk, "remember_image")
        learned(desk)
    add(desk, 2)
    kept = desk.layer().data.copy()
    desk.run("suggest")
    names = [name for name, _ in desk.controller.session.suggestions]
    assert "zorb" in names[:1]
    assert (desk.layer().data == kept).all()
    desk.slide(0.3)  # the engine holds the classes of the table again
    assert set(np.unique(desk.layer(" pseudo-labels").data)) <= {0, 1, 255}
    desk.rest()
