"""The pixels of an image are replaced: it is noticed, and what still fits is offered."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wildseg.gui.annotation.decisions import UNLABELLED
from napari_wildseg.gui.layers.display import Plane
from napari_wildseg.gui.layers.image_pixels import carried, place_in

from .annotator import NAMES, paint

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 9, (30, 40))
COLOURS = RNG.random((30, 40, 3))
STACK = RNG.integers(0, 9, (5, 30, 40))


@pytest.mark.parametrize(
    ("old", "new", "colour", "place"),
    [
        (IMAGE, IMAGE[4:20, 7:30], False, (4, 7)),
        (IMAGE, np.pad(IMAGE, ((3, 0), (0, 5))), False, (-3, 0)),
        (IMAGE, np.pad(IMAGE, ((2, 1), (0, 0)))[:, 9:20], False, (-2, 9)),
        (COLOURS, COLOURS[:, 1:9], True, (0, 1)),
        (STACK[3], STACK, False, (-3, 0, 0)),
        (STACK, STACK[2, :9], False, (2, 0, 0)),
        (STACK, STACK[1:], False, (1, 0, 0)),
        (IMAGE, IMAGE[::2, ::2], False, None),
        (np.zeros((5, 5)), np.zeros((3, 3)), False, (0, 0)),
        (np.eye(6), np.eye(6)[2:4, 2:4], False, (0, 0)),
        (np.eye(6), np.eye(6)[2:4, 3:5], False, None),  # fits at more than one place
        ("not read yet", IMAGE, False, None),
    ],
)
def test_pixels_are_found_again(old, new, colour, place):
    assert place_in(old, new, colour=colour) == place


def test_not_a_number_equals_itself_and_many_places_are_not_gone_through():
    image = np.full((3000, 3000), np.nan, np.float32)
    assert place_in(image, image[:5, :5]) == (0, 0)


def test_decisions_move_with_their_pixels():
    decided = np.full((4, 5), UNLABELLED, np.uint8)
    decided[1, 2], decided[0, 0] = 7, 9
    flat, second = Plane((None, None)), Plane((1, None, None))
    moved = carried({flat: decided}, (1, 1), (3, 3))
    assert list(moved) == [flat]
    assert moved[flat][0, 1] == 7
    assert (moved[flat] != UNLABELLED).sum() == 1
    into = carried({flat: decided}, (-1, 0, 0), (3, 4, 5))
    np.testing.assert_array_equal(into[second], decided)
    np.testing.assert_array_equal(carried({second: decided}, (1, 0, 0), (4, 5))[flat], decided)
    assert carried({second: decided}, (2, 0, 0), (3, 4, 5)) == {}


def test_a_crop_starts_anew_with_the_corrections_that_fit(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    c, labels, session = d.controller, d.layer(), d.controller.session
    inside, outside = paint(labels, (60, 80), 2), paint(labels, (10, 10), 2)
    c.auto_segment()
    c.image.data = photo[40:120, 50:200].copy()
    d.wait()
    crop = (slice(40, 120), slice(50, 200))
    assert "80 x 150 now, not 200 x 300" in d.status
    assert f"{(inside | outside).sum()} corrected pixels, {inside.sum()} still fit" in d.status
    assert labels.name == "Image labels (200 x 300)"
    assert (labels.data[inside] == 2).all(), "the labels before are left as they were"
    assert session.image is None
    d.click("restore")
    assert ((d.layer().data == 2) == inside[crop]).all()
    d.run("auto_segment")
    assert d.layer().data.shape == (80, 150)
    assert (d.layer().data[inside[crop]] == 2).all()


def test_other_pixels_of_the_same_size_are_what_refine_looks_at(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    c, labels = d.controller, d.layer()
    painted = paint(labels, (60, 80), 2)
    c.refine()
    c.image.data = photo[::-1].copy()
    assert not c.working, "a run that looks at the old pixels is of no use"
    d.run("refine")
    request = c.request(c.session, c.image, c.plane)
    assert request.slot.image == request.source.key
    assert (labels.data[painted] == 2).all()


def test_a_label_layer_of_another_size_or_type_is_noticed(desk, photo):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    c, labels, pseudo = d.controller, d.layer(), d.layer(" pseudo-labels")
    seeds = pseudo.data.copy()
    pseudo.data = pseudo.data.astype(np.int8)
    assert "int8 has no room" in d.status
    np.testing.assert_array_equal(pseudo.data, seeds)
    painted = paint(labels, (60, 80), 2)
    labels.data = labels.data[:50]
    assert f"{painted.sum()} corrected pixels of before are kept" in d.status
    assert c.areas()
    d.run("auto_segment")
    d.click("restore")
    assert (c.session.layer("labels").data[painted] == 2).all()
