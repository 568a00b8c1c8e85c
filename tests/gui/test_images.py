"""Which image is worked on; images and viewers do not mix."""

from __future__ import annotations

import gc
import weakref

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QApplication

from .annotator import NAMES, paint, wrong_spot


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
    assert d.control("classes").model().rowCount() == 4
    d.run("refine")
    assert (one.data[painted] == 1).all()
    assert d.control("classes").model().rowCount() == 4


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


def test_two_viewers_do_not_mix(desk, photo):
    first = desk(photo, NAMES)
    second = desk(photo, "cat")
    first.run("auto_segment")
    assert len(first.viewer.layers) == 3
    assert len(second.viewer.layers) == 1
    assert second.control("classes").model().rowCount() == 2
    second.run("auto_segment")
    paint(second.layer(), (20, 20), 1)
    assert first.controller.session.decided_pixels(first.controller.plane) == 0


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
