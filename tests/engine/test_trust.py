"""One stroke never destroys what was right: people's strokes on the photograph of a cameraman.

In brackets is what the version before kept. Near strokes and a locked class keep all of it.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_wildseg.engine.segmenter import Segmenter

pytestmark = pytest.mark.usefixtures("one_thread")

MAN, CAMERA, TRIPOD, GRASS, SKY = 1, 2, 3, 4, 5
SHAPE = (512, 512)


def dab(row, column, radius):
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def line(start, end, radius=8):
    outside = np.ones(SHAPE, bool)
    rows, columns = np.rint(np.linspace(start, end, 200)).astype(int).T
    outside[rows, columns] = False
    return ndimage.distance_transform_edt(outside) <= radius


TWO = [(TRIPOD, dab(325, 296, 5)), (SKY, dab(60, 400, 10))]
SEVEN = [
    *TWO,
    (GRASS, dab(430, 325, 10)),
    (MAN, dab(150, 228, 10)),
    (SKY, dab(40, 100, 10)),
    (GRASS, dab(470, 60, 10)),
    (SKY, dab(150, 450, 10)),
]


@pytest.fixture(scope="module")
def cameraman(starter):
    """``(labels without corrections, strokes -> labels and free pixels)``."""
    from skimage import data

    segmenter = Segmenter(starter)
    segmenter.set_image(data.camera())
    first = segmenter.segment("man, camera, tripod, grass, sky").labels

    def refine(strokes, **limits):
        corrections = np.full(SHAPE, -1, np.int16)
        for label, pixels in strokes:
            corrections[pixels] = label
        segmenter.refine()
        return segmenter.refine(corrections, **limits).labels, corrections < 0

    return first, refine


def kept(cameraman, strokes, where, **limits):
    """Share of pixels of a region that keep their class, painted ones left out."""
    first, refine = cameraman
    labels, free = refine(strokes, **limits)
    return float((labels == first)[where & free].mean())


def camera_itself(first):
    """The camera proper; the first labels give it much of the ground below."""
    box = np.zeros(SHAPE, bool)
    box[126:205, 251:325] = True
    return (first == CAMERA) & box


def test_a_stroke_that_runs_over_takes_little_of_what_it_runs_over(cameraman):
    stroke = line((60, 420), (100, 240))
    man = cameraman[0] == MAN
    assert 0.1 < (stroke & man).sum() / stroke.sum() < 0.2
    assert kept(cameraman, [(SKY, stroke)], man) > 0.99  # (0.973)


def test_a_wholly_wrong_stroke_does_not_take_the_whole_object(cameraman):
    wrong = (GRASS, line((240, 190), (300, 190)))
    assert kept(cameraman, [*TWO, wrong], cameraman[0] == MAN) > 0.9  # (0.836)


def test_dabs_on_others_leave_a_class_that_nobody_touched(cameraman):
    assert kept(cameraman, TWO, camera_itself(cameraman[0])) > 0.92  # (0.838)


def test_seven_strokes_on_others_leave_most_of_a_class_that_nobody_touched(cameraman):
    assert kept(cameraman, SEVEN, camera_itself(cameraman[0])) > 0.7  # (0.526)


def test_near_strokes_and_a_lock_leave_all_of_it(cameraman):
    camera = cameraman[0] == CAMERA
    assert kept(cameraman, SEVEN, camera, locked=["camera"]) == 1
    far = camera.copy()
    for _, stroke in SEVEN:
        far &= ndimage.distance_transform_edt(~stroke) > 20
    assert far.sum() > 1000
    assert kept(cameraman, SEVEN, far, near=20) == 1
