"""Label layers lie exactly on their image and carry names and colours."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.gui.layers.display import Plane
from napari_wildseg.gui.layers.label_pair import align, class_names, make_labels, place_of

CLASSES = parse_classes("cat, dog")
AFFINE = np.array([[1, 0.2, 5], [0.1, 1.5, -3], [0, 0, 1.0]])


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (np.zeros((10, 12, 3), np.uint8), {"scale": (2, 3), "units": ("um", "um")}),
        (np.zeros((10, 12, 4), np.uint8), {"translate": (5, -7), "axis_labels": ("y", "x")}),
        (np.zeros((10, 12)), {"scale": (2, 0.5), "rotate": 30, "translate": (1, 2)}),
        (np.zeros((10, 12)), {"shear": [0.3], "rotate": 20, "scale": (2, 3)}),
        (np.zeros((10, 12)), {"affine": AFFINE, "scale": (2, 3)}),
        (np.zeros((4, 10, 12)), {"scale": (9, 2, 3), "units": ("um", "um", "um")}),
        (np.zeros((4, 10, 12, 3), np.uint8), {"scale": (9, 2, 3), "translate": (1, 2, 3)}),
    ],
)
def test_labels_lie_on_the_image(data, place):
    image = Image(data, rgb=data.shape[-1] in (3, 4), **place)
    labels = make_labels(image, "labels", CLASSES)
    assert labels.ndim == image.ndim
    assert labels.units == image.units
    assert labels.axis_labels == image.axis_labels
    shape = data.shape[:-1] if image.rgb else data.shape
    assert labels.data.shape == shape
    assert labels.data.dtype == np.uint8
    for corner in (np.zeros(len(shape)), np.array(shape) - 1, np.eye(len(shape))[-1] * 3):
        np.testing.assert_allclose(labels.data_to_world(corner), image.data_to_world(corner))


def test_labels_of_a_pyramid_lie_on_it():
    levels = [np.zeros((8192, 4096), np.uint8)]
    levels.append(levels[0][::4, ::4])
    image = Image(levels, multiscale=True, scale=(0.5, 0.25), rotate=10, translate=(7, 9))
    labels = make_labels(image, "labels", CLASSES)
    assert labels.data.shape == (2048, 1024)
    np.testing.assert_allclose(labels.data_to_world((100, 50)), image.data_to_world((400, 200)))


def test_a_single_plane_lies_in_its_stack():
    image = Image(np.zeros((6, 10, 12)), scale=(5, 2, 3), translate=(1, 1, 1))
    place = place_of(image, Plane((4, None, None)))
    layer = Image(np.zeros((1, 10, 12)), **place)
    np.testing.assert_allclose(layer.data_to_world((0, 2, 3)), image.data_to_world((4, 2, 3)))


def test_align_follows_a_moved_image():
    image = Image(np.zeros((10, 12)))
    labels = make_labels(image, "labels", CLASSES)
    image.scale, image.translate, image.affine = (2, 2), (3, 4), AFFINE
    align(labels, image)
    np.testing.assert_allclose(labels.data_to_world((5, 6)), image.data_to_world((5, 6)))


def test_names_and_colours():
    labels = make_labels(Image(np.zeros((10, 12))), "labels", CLASSES)
    assert class_names(labels) == {0: "background", 1: "cat", 2: "dog", 255: "not sure"}
    for info in CLASSES:
        colour = np.asarray(labels.get_color(info.id))
        np.testing.assert_allclose(colour[:3] * 255, info.colour, atol=0.5)
    grey = np.asarray(labels.colormap.map(255))
    assert grey[0] == grey[1] == grey[2] > 0
    labels.data[2, 3] = 2
    status = labels.get_status((2, 3), world=True)
    assert "class: dog" in status["value"]
