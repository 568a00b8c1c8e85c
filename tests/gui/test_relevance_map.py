"""A relevance map lies on its image, whatever its grid, and is one layer however often asked."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_wildseg.engine.large.layout import Box
from napari_wildseg.engine.progress import drain
from napari_wildseg.gui.layers import display
from napari_wildseg.gui.layers.display import Plane, channels_of
from napari_wildseg.gui.layers.label_pair import place_of
from napari_wildseg.process.windowed import WindowedSegmenter

TURNED = np.array([[0.9, -0.3, 4.0], [0.2, 1.1, -3.0], [0.0, 0.0, 1.0]])

PLACES = [
    {},
    {"scale": (2, 3), "translate": (5, 7)},
    {"scale": (2, 0.5), "rotate": 30, "translate": (5, -7)},
    {"scale": (0.5, 2), "shear": [0.4], "affine": TURNED, "rotate": 110},
]


def map_of(d, name):
    return d.viewer.layers[f"{d.controller.image.name} relevance of {name}"]


def ask(d, class_id=1):
    d.controller.relevance_maps.show(class_id)
    d.wait()


@pytest.mark.parametrize("place", PLACES)
def test_cells_of_a_grid_tile_the_image(place):
    """Corners of cells lie on corners of pixels: half a cell before the first centre."""
    image = Image(np.zeros((60, 90)), **place)
    cells = (20, 45)
    grid = Image(np.zeros(cells), **place_of(image, Plane((None, None)), cells))
    for cell in ((0, 0), (20, 0), (0, 45), (7, 31)):
        pixel = np.array(cell) * (3, 2)
        np.testing.assert_allclose(
            grid.data_to_world(np.array(cell) - 0.5), image.data_to_world(pixel - 0.5), atol=1e-9
        )


def test_cells_that_are_no_whole_pixels_tile_the_image_too():
    image = Image(np.zeros((61, 90)), scale=(2, 3))
    grid = Image(np.zeros((7, 11)), **place_of(image, Plane((None, None)), (7, 11)))
    np.testing.assert_allclose(grid.data_to_world((6.5, 10.5)), image.data_to_world((60.5, 89.5)))


def test_a_grid_lies_in_its_plane_of_a_stack():
    image = Image(np.zeros((5, 60, 90)), scale=(10, 2, 3), rotate=30, translate=(1, 2, 3))
    plane = Plane((3, None, None))
    grid = Image(np.zeros((1, 20, 45)), **place_of(image, plane, (20, 45)))
    np.testing.assert_allclose(
        grid.data_to_world((0, 19.5, 44.5)), image.data_to_world((3, 59.5, 89.5))
    )
    np.testing.assert_allclose(
        grid.data_to_world((0, -0.5, 1.5)), image.data_to_world((3, -0.5, 3.5))
    )


def test_a_grid_lies_on_a_pyramid_as_its_level_does():
    levels = [np.zeros((8192, 4096), np.uint8), np.zeros((4096, 2048), np.uint8)]
    image = Image(levels, multiscale=True, scale=(2, 3))
    level = Image(np.zeros((4096, 2048), np.uint8), **place_of(image))
    grid = Image(np.zeros((16, 8)), **place_of(image, Plane((None, None)), (16, 8)))
    np.testing.assert_allclose(grid.data_to_world((-0.5, 7.5)), level.data_to_world((-0.5, 2047.5)))


def test_the_map_of_an_image_has_its_pixels(desk, photo):
    d = desk(photo, "cup of coffee, table", scale=(2, 3), translate=(5, 7))
    d.run("auto_segment")
    ask(d)
    layer = map_of(d, "cup of coffee")
    assert layer.data.shape == photo.shape[:2]
    assert 0 <= layer.data.min() < layer.data.max() <= 1
    assert layer.colormap.name == "magma"
    np.testing.assert_allclose(
        layer.data_to_world((3, 4)), d.controller.image.data_to_world((3, 4))
    )
    assert d.controller.image.name == "Image", "the map is no image to segment"
    assert d.viewer.layers.selection.active is d.layer(), "painting goes on"


def test_the_map_of_a_large_plane_lies_on_it(desk, monkeypatch, starter):
    """What the pointer reads is the relevance there."""
    from skimage import data
    from skimage.transform import resize

    monkeypatch.setattr(display, "WINDOWED", 300 * 300)
    photo = (resize(data.chelsea(), (400, 500)) * 255).astype(np.uint8)
    d = desk(photo, "cat", scale=(0.5, 2), rotate=25, affine=TURNED)
    d.run("auto_segment")
    ask(d)
    layer, image = map_of(d, "cat"), d.controller.image
    cells = np.array(layer.data.shape)
    assert tuple(cells) == (400, 500)
    np.testing.assert_allclose(layer.data_to_world((-0.5, -0.5)), image.data_to_world((-0.5, -0.5)))
    np.testing.assert_allclose(
        layer.data_to_world(cells - 0.5), image.data_to_world((399.5, 499.5))
    )
    segmenter = WindowedSegmenter(starter, threshold=0.5, views="single")
    drain(segmenter.set_image_steps(np.asarray(image.data)))
    drain(segmenter.segment_steps(d.controller.classes, threshold=0.5, refine=False))
    relevance_of = segmenter._large._state.priors.relevance_of
    found = relevance_of(Box(0, 0, 400, 500))[0].numpy()
    for pixel in ((200, 250), (30, 40), (390, 480), (123, 321)):
        read = layer.get_value(image.data_to_world(pixel), world=True)
        assert abs(read - found[pixel]) < 0.03, "half a cell away at most"
    assert found.std() > 0.1


def test_a_map_that_is_there_is_brought_up_to_date(desk, photo):
    d = desk(photo, "cup of coffee, table")
    d.run("auto_segment")
    ask(d)
    layer = map_of(d, "cup of coffee")
    before = layer.data.copy()
    layer.data, layer.visible = np.zeros_like(before), False
    count = len(d.viewer.layers)
    ask(d)
    assert len(d.viewer.layers) == count
    assert layer.visible
    np.testing.assert_array_equal(layer.data, before)
    assert "cup of coffee" in d.status
    ask(d, 2)
    assert len(d.viewer.layers) == count + 1, "another class has a map of its own"
    d.viewer.layers.remove(layer)
    ask(d)
    assert map_of(d, "cup of coffee") is not layer, "one that was deleted comes anew"


def test_each_plane_has_a_map_of_its_own(desk, photo):
    d = desk(np.stack([photo, photo[::-1]]), "cup of coffee, table")
    d.run("auto_segment")
    ask(d)
    d.viewer.dims.set_point(0, 1)
    d.run("auto_segment")
    ask(d)
    first, second = (x for x in d.viewer.layers if " relevance of " in x.name)
    assert first.data.shape == second.data.shape == (1, *photo.shape[:2])
    assert (first.data_to_world((0, 0, 0))[0], second.data_to_world((0, 0, 0))[0]) == (0, 1)


def test_a_map_is_no_channel_of_its_image(desk, photo):
    """It is additive, of the same shape and in the same place, as channels are."""
    d = desk()
    red, green = d.viewer.add_image(photo[..., :2], channel_axis=2, name=["red", "green"])
    assert d.controller.image is red, "the others are its channels"
    d.type_names("cup of coffee, table")
    d.run("auto_segment")
    ask(d)
    assert map_of(d, "cup of coffee") in d.viewer.layers
    assert channels_of(red, d.viewer.layers) == [red, green]
